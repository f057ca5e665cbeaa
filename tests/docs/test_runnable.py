"""Each page whose blocks are marked ``runnable`` is followed from top to bottom, against a local RDS of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rdskit.local import site
from tests.docs.pages import PAGES, Block, runnable_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

# What an interactive shell keeps between two blocks, a script must hand over.
_SHELL = "set -eu; . ./block; set +u; env -0 > ./environment"


class Reader:
    """Somebody who follows a page in a shell, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def follow(self, block: Block) -> str:
        """Do what a block says and give what it printed."""
        (self.directory / "block").write_text(block.code)
        command = [sys.executable, "block"] if block.language == "python" else ["bash", "-c", _SHELL]
        done = subprocess.run(
            command, cwd=self.directory, env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{block.page.name}:{block.line}\n{done.stdout}{done.stderr}"
        if block.language != "python":
            pairs = (self.directory / "environment").read_text().rstrip("\0").split("\0")
            self._environment = dict(pair.split("=", 1) for pair in pairs)
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path, page: Path) -> Iterator[Reader]:
    """Give a reader; for a page that says ``rdskit local up`` it runs already, at a port of its own."""
    if not any("rdskit local" in block.code for block in runnable_blocks(page)):
        yield Reader(tmp_path)
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    subprocess.run(
        [sys.executable, "-m", "rdskit", "local", "up", "--port", str(port)], cwd=tmp_path, check=True, timeout=60
    )
    yield Reader(tmp_path)
    site.down(tmp_path / ".rdskit")


#: What a page's blocks must print, where that says more than that they ran.
PRINTED = {
    "README": "Ada 12\nGrace 30\n",
    "local-rds": "PostgreSQL ",
    "sqlalchemy": "registered: ['Ada']\n",
    "credentials": "as ada\nby a role as ada\nnot as the master\n",
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", [page for page in PAGES if runnable_blocks(page)], ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, reader: Reader) -> None:
    printed = "".join(reader.follow(block) for block in runnable_blocks(page))
    assert PRINTED.get(page.stem, "") in printed
    assert not site.status(reader.directory / ".rdskit").running, "the page leaves its local RDS up"
