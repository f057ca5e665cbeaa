"""An offline database of vulnerabilities: ``tools/advisories.json``, served in OSV's protocol on loopback.

Usage: python tools/advisories.py CHECKOUT     Write the file from a git checkout of pypa/advisory-database.

The file holds facts only: for each package in ``requirements/*.txt`` the identifiers of its advisories and the versions
between which each holds. ``tools/audit.py --service offline`` lets pip-audit ask it, so that CI needs no network.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tools/advisories.json"
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==", re.MULTILINE)


def canonical(name: str) -> str:
    """Return a package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> list[str]:
    """Return the names of all packages that a lock pins."""
    locks = (lock.read_text(encoding="utf-8") for lock in ROOT.glob("requirements/*.txt"))
    return sorted({canonical(name) for lock in locks for name in _PIN.findall(lock)})


def holds(events: list[dict[str, str]], version: Version) -> bool:
    """Return whether a version is in a range (OSV schema, "affected[].ranges[].events": the last event before wins)."""
    inside = False
    for event in events:
        ((kind, text),) = event.items()
        bound = Version(text) if text != "0" else Version("0.dev0")
        if kind == "introduced" and version >= bound:
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside


def known(database: dict[str, Any], name: str, version: str) -> list[dict[str, Any]]:
    """Return what is known against one version of a package, each as an OSV record.

    Args:
        database: the content of the file.
        name: of the package.
        version: of the package.
    """
    return [
        {
            "id": identifier,
            "affected": [
                {
                    "package": {"name": canonical(name), "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": events} for events in ranges],
                }
            ],
        }
        for identifier, ranges in database["advisories"].get(canonical(name), {}).items()
        if any(holds(events, Version(version)) for events in ranges)
    ]


@contextlib.contextmanager
def served(database: dict[str, Any]) -> Iterator[str]:
    """Serve a database on loopback and yield its query URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = known(database, asked["package"]["name"], asked["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server gives
            del format, arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="advisories")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def read(checkout: Path) -> dict[str, Any]:
    """Return the database for the pinned packages from a git checkout of pypa/advisory-database."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - needed only to write the file

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        ).stdout

    names = set(pinned())
    found: dict[str, dict[str, Any]] = {}
    for path in git("ls-tree", "-r", "--name-only", "HEAD", "vulns").splitlines():
        name = path.split("/")[1]
        if not path.endswith(".yaml") or canonical(name) not in names:
            continue
        advisory = yaml.safe_load(git("show", f"HEAD:{path}"))
        if "withdrawn" in advisory:
            continue
        ranges = [
            [{kind: str(version) for kind, version in event.items()} for event in each["events"]]
            for affected in advisory["affected"]
            for each in affected.get("ranges", ())
            if each["type"] == "ECOSYSTEM"
        ]
        found.setdefault(canonical(name), {})[advisory["id"]] = ranges
    day = git("log", "-1", "--format=%cs", "HEAD").strip()
    return {"source": f"pypa/advisory-database of {day}", "advisories": dict(sorted(found.items()))}


if __name__ == "__main__":
    FILE.write_text(json.dumps(read(Path(sys.argv[1])), indent=0) + "\n", encoding="utf-8")
