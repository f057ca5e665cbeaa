"""Each page whose blocks are marked ``runnable`` is followed from top to bottom, against a local RDS of its own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rdskit.local import lifecycle
from tests.docs.pages import PAGES, ROOT, Block, local_links, runnable_blocks
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

# What an interactive shell keeps between two blocks, a script must hand over.
_SHELL = "set -eu; . ./block; set +u; env -0 > ./environment"


class Reader:
    """A user who follows a page in a shell, in a directory of their own."""

    def __init__(self, directory: Path, python: Path) -> None:
        self.directory = directory
        self._python = python
        self._environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}

    def follow(self, block: Block) -> str:
        """Do what a block says and give what it printed."""
        (self.directory / "block").write_text(block.code)
        command = [str(self._python), "block"] if block.language == "python" else ["bash", "-c", _SHELL]
        done = subprocess.run(
            command, cwd=self.directory, env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{block.page.name}:{block.line}\n{done.stdout}{done.stderr}"
        if block.language != "python":
            pairs = (self.directory / "environment").read_text().rstrip("\0").split("\0")
            self._environment = dict(pair.split("=", 1) for pair in pairs)
        return done.stdout


@contextlib.contextmanager
def reading(directory: Path, *pages: Path, python: Path = Path(sys.executable)) -> Iterator[Reader]:
    """Give a reader; where a page says ``rdskit local up`` it runs already, at a port of its own.

    Args:
        directory: where the pages are followed.
        pages: which ones.
        python: the interpreter that the pages mean by ``python``; ``rdskit`` lies beside it.
    """
    if not any("rdskit local" in block.code for page in pages for block in runnable_blocks(page)):
        yield Reader(directory, python)
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    share_templates(directory / ".rdskit/fleet")
    subprocess.run([python, "-m", "rdskit", "local", "up", "--port", str(port)], cwd=directory, check=True, timeout=60)
    try:
        yield Reader(directory, python)
    finally:
        lifecycle.down(directory / ".rdskit")


def follow(page: Path, reader: Reader) -> None:
    """Follow a page from top to bottom; it must print what is expected and leave no local RDS up."""
    printed = "".join(reader.follow(block) for block in runnable_blocks(page))
    assert PRINTED.get(page.stem, "") in printed
    assert not lifecycle.status(reader.directory / ".rdskit").running, "the page leaves its local RDS up"


#: What a page's blocks must print, where that says more than that they ran.
PRINTED = {
    "README": "Ada 12\nGrace 30\n",
    "local-rds": "PostgreSQL ",
    "sqlalchemy": "registered: ['Ada']\n",
    "credentials": "as ada\nby a role as ada\nnot as the master\n",
}
#: A newcomer's first two pages, which share an instance.
FIRST = [ROOT / "README.md", ROOT / "docs/quickstart.md"]
RUNNABLE = [page for page in PAGES if runnable_blocks(page)]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", [page for page in RUNNABLE if page not in FIRST], ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    with reading(tmp_path, page) as reader:
        follow(page, reader)


@pytest.mark.timeout(240)
def test_readme_quick_start_and_readme_again_can_be_followed_in_one_folder(tmp_path: Path) -> None:
    with reading(tmp_path, *FIRST) as reader:
        for page in (*FIRST, FIRST[0]):
            follow(page, reader)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_all_pages_can_be_followed_twice_in_one_folder_in_the_order_of_the_index(tmp_path: Path) -> None:
    pages = [page for page in (FIRST[0], *local_links(ROOT / "docs/index.md")) if page in RUNNABLE]
    assert set(pages) == set(RUNNABLE), "a page is not in the index"
    with reading(tmp_path, *pages) as reader:
        for page in pages * 2:
            follow(page, reader)


def pip(python: Path, folder: Path, *words: str) -> None:
    """Run pip, which leaves nothing in the home directory; it asks rustc for its version, and rustup writes there."""
    environment = {**os.environ, "PIP_NO_CACHE_DIR": "1", "RUSTUP_HOME": str(folder / "rustup")}
    subprocess.run([python, "-m", "pip", *words, "--quiet"], check=True, env=environment)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel that a newcomer installs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(
        Path(sys.executable),
        folder,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    )
    (built,) = folder.glob("*.whl")
    return built


#: What a page says to install: rdskit with extras, and other packages.
INSTALLS = re.compile(r"pip install ('(?:rdskit|\.)(?:\[.*?\])?'|rdskit)((?: [a-z][\w-]*)*)")


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_a_page_says_what_to_install(page: Path) -> None:
    assert INSTALLS.search(page.read_text())


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_what_a_page_says_to_install_suffices_for_it(page: Path, wheel: Path, tmp_path: Path) -> None:
    line = INSTALLS.search(page.read_text())
    assert line is not None
    ours = re.sub(r"^(rdskit|\.)", str(wheel), line[1].strip("'"))
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    pip(Path(sys.executable), tmp_path, "--python", str(python), "install", "pip")
    pip(python, tmp_path, "install", ours, *line[2].split())
    folder = tmp_path / "followed"
    folder.mkdir()
    with reading(folder, page, python=python) as reader:
        follow(page, reader)
