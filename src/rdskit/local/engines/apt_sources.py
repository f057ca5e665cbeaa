"""Parse the machine's apt sources, in both of their formats.

Formats: sources.list(5) of apt. An entry is either one line, ``deb [options] URI suite component…``, or a stanza of
``Field: value`` lines (deb822).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)$")
_FIELD = re.compile(r"^(?P<name>[A-Za-z0-9-]+):(?P<value>.*(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """Entry of the apt sources: some suites of some archives.

    Attributes:
        uris: where the archives are.
        suites: such as ``bookworm`` and ``bookworm-updates``.
        components: such as ``main``.
        signed_by: a keyring's path or the key itself; empty uses the keys that apt trusts anyway.
        trusted: ``yes`` if apt should not require a signature; else empty.
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    trusted: str = ""

    @property
    def text(self) -> str:
        """Entry as a deb822 stanza."""
        fields = {
            "Types": "deb",
            # From a ``file:`` archive apt reads packages in place; ``copy:`` makes it put them into the download
            # folder.
            "URIs": " ".join(re.sub(r"^file:", "copy:", uri) for uri in self.uris),
            "Suites": " ".join(self.suites),
            "Components": " ".join(self.components),
            "Signed-By": self.signed_by,
            "Trusted": self.trusted,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield the entries of a ``.list`` file."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match:
            pairs = (option.partition("=") for option in (match["options"] or "").split())
            options = {name.lower(): value for name, _, value in pairs}
            yield Source(
                (match["uri"],),
                (match["suite"],),
                tuple(match["components"].split()),
                options.get("signed-by", ""),
                options.get("trusted", ""),
            )


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the entries of a ``.sources`` file."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = {match["name"].lower(): match["value"].strip() for match in _FIELD.finditer(stanza)}
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() in ("yes", "true", "1"):
            yield _from_fields(fields)


def of_release(sources: Iterable[Source], codename: str) -> list[Source]:
    """Return the entries that belong to the installed release; all of them if none names it.

    Args:
        sources: entries of the machine.
        codename: of the release, such as ``bookworm``.
    """
    everything = list(sources)
    own = [source for source in everything if any(_belongs(suite, codename) for suite in source.suites)]
    return own or everything


def other_suite(sources: Iterable[Source], codename: str, suite: str) -> list[Source]:
    """Return another suite of the archive that the installed release comes from; empty if there is none."""
    candidates = of_release(sources, codename)
    # Prefer the archive of the release itself: security and backports archives do not have every suite.
    plain = [source for source in candidates if codename in source.suites] or candidates
    return [dataclasses.replace(source, suites=(suite,), components=("main",)) for source in plain[:1]]


def _belongs(suite: str, codename: str) -> bool:
    # ``bookworm-updates`` and ``bookworm/updates`` belong to bookworm.
    return re.split(r"[-/]", suite)[0] == codename


def _from_fields(fields: Mapping[str, str]) -> Source:
    words = {name: tuple(fields.get(name, "").split()) for name in ("uris", "suites", "components")}
    return Source(
        words["uris"], words["suites"], words["components"], fields.get("signed-by", ""), fields.get("trusted", "")
    )
