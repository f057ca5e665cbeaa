"""The machine's apt sources in both of their formats."""

from __future__ import annotations

from rdskit.local.engines.apt_sources import Source, of_release, other_suite, parse_deb822, parse_one_line

ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb [trusted=yes] file:/srv/packages ./
"""
DEB822 = """\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://other.example/apt
Suites: stable
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""


def test_one_line_entries() -> None:
    assert list(parse_one_line(ONE_LINE)) == [
        Source(
            ("http://mirror.example/debian",), ("bookworm",), ("main", "contrib"), "/usr/share/keyrings/own.gpg", ""
        ),
        Source(("http://mirror.example/debian-security",), ("bookworm-security",), ("main",)),
        Source(("file:/srv/packages",), ("./",), (), "", "yes"),
    ]


def test_deb822_stanzas_with_a_key_inside() -> None:
    (source,) = parse_deb822(DEB822)
    assert (source.uris, source.suites) == (("http://mirror.example/debian",), ("bookworm", "bookworm-updates"))
    assert "mQINBF" in source.signed_by


def test_what_is_parsed_can_be_written_and_parsed_again() -> None:
    sources = [*parse_one_line(ONE_LINE.replace("file:", "copy:")), *parse_deb822(DEB822)]
    assert list(parse_deb822("\n".join(source.text for source in sources))) == sources


def test_the_release_s_own_entries_come_without_third_parties() -> None:
    own, third = Source(("a",), ("bookworm-security",), ("main",)), Source(("b",), ("nodistro",), ("main",))
    assert of_release([third, own], "bookworm") == [own]
    assert of_release([third], "bookworm") == [third]


def test_another_suite_comes_from_the_same_archive() -> None:
    security = Source(("s",), ("bookworm-security",), ("main",))
    archive = Source(("a",), ("bookworm", "bookworm-updates"), ("main", "contrib"), "key", "")
    assert other_suite([security, archive], "bookworm", "sid") == [Source(("a",), ("sid",), ("main",), "key", "")]
    assert other_suite([], "bookworm", "sid") == []
