"""Packages unpacked into a cache: from an archive of the test's own, with the real apt and dpkg."""

from __future__ import annotations

import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import LocalError
from rdskit.local.engines import unpacked
from rdskit.local.engines.unpacked import PackageSet, cache_directory, ensure_unpacked, find_unpacked

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_server

SET = PackageSet("tiny", "Tiny", ("tiny-server",), ("tinyctl",))
CONTROL = """\
Package: {name}
Version: 1.0
Architecture: all
Maintainer: Test <test@example.org>
Description: a package for tests
"""


def publish(archive: Path, name: str, files: dict[str, str], depends: str = "") -> None:
    """Build a package and add it to an archive without suites."""
    tree = archive / f"{name}.tree"
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    (tree / "DEBIAN").mkdir()
    control = CONTROL.format(name=name) + (f"Depends: {depends}\n" if depends else "")
    (tree / "DEBIAN" / "control").write_text(control)
    package = archive / f"{name}_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, package], check=True, capture_output=True)
    content = package.read_bytes()
    with (archive / "Packages").open("a") as index:
        index.write(
            f"{control}Filename: ./{package.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        )


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """Return a folder of apt's configuration that names one archive."""
    archive = tmp_path / "archive"
    archive.mkdir()
    publish(archive, "libtiny", {"usr/lib/libtiny.so": "library", "usr/share/doc/libtiny/readme": "long"})
    programs = {"usr/bin/tinyctl": "program", "usr/bin/unwanted": "heavy"}
    publish(archive, "tiny-server", programs, depends="libtiny")
    folder = tmp_path / "apt"
    folder.mkdir()
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    return folder


def test_a_set_is_unpacked_with_what_it_needs_and_without_what_it_does_not(tmp_path: Path, apt: Path) -> None:
    reports: list[str] = []
    root = ensure_unpacked(SET, tmp_path / "cache", reports.append, apt)
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {"usr/bin/tinyctl", "usr/lib/libtiny.so"}
    assert len(reports) == 2
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"tiny", "tiny.lock"}


def test_looking_downloads_nothing_and_a_second_time_costs_nothing(tmp_path: Path, apt: Path) -> None:
    cache = tmp_path / "cache"
    assert find_unpacked(SET, cache) is None
    assert not cache.exists()
    root = ensure_unpacked(SET, cache, lambda _: None, apt)
    reports: list[str] = []
    assert find_unpacked(SET, cache) == ensure_unpacked(SET, cache, reports.append, tmp_path / "nowhere") == root
    assert reports == []


def test_two_at_once_unpack_once(tmp_path: Path, apt: Path) -> None:
    reports: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        roots = {threads.submit(ensure_unpacked, SET, tmp_path / "cache", reports.append, apt) for _ in range(4)}
    assert {root.result() for root in roots} == {tmp_path / "cache" / "tiny"}
    assert len(reports) == 2


def test_what_an_interrupted_attempt_left_is_no_hindrance(tmp_path: Path, apt: Path) -> None:
    half = tmp_path / "cache" / "tiny.draft" / "root" / "usr" / "lib"
    half.mkdir(parents=True)
    (half / "half").write_text("an interrupted dpkg")
    root = ensure_unpacked(SET, tmp_path / "cache", lambda _: None, apt)
    assert not (root / "usr" / "lib" / "half").exists()
    assert (root / "usr" / "bin" / "tinyctl").read_text() == "program"


def test_without_apt_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match=r"Tiny is not installed, and without apt-get and dpkg .* install Tiny"):
        ensure_unpacked(SET, tmp_path / "cache", lambda _: None)
    assert not (tmp_path / "cache").exists()


def test_an_archive_without_the_package_is_reported(tmp_path: Path, apt: Path) -> None:
    absent = PackageSet("absent", "Absent", ("absent-server",), ())
    with pytest.raises(LocalError, match="Unable to locate package absent-server"):
        ensure_unpacked(absent, tmp_path / "cache", lambda _: None, apt)
    assert find_unpacked(absent, tmp_path / "cache") is None


def test_the_cache_is_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "rdskit" / "servers"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert str(unpacked.cache_directory()) == "/home/ada/.cache/rdskit/servers"
