"""Fill the time zone tables of MySQL and MariaDB. Without them ``convert_tz`` returns NULL for every named zone.

RDS has them filled. The servers' own ``mysql_tzinfo_to_sql`` is not in every package, and reads only the 32-bit part of
the files, which is empty in newer ones. Sources: RFC 9636 (TZif); MySQL "mysql_tzinfo_to_sql"; MariaDB "Time Zones".
"""

from __future__ import annotations

import functools
import importlib.resources
import io
import itertools
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

_HEADER: Final = struct.Struct(">4sc15x6l")
_LAST: Final = 2**31  # the servers' rules end with the 32-bit times
_BEFORE_ALL: Final = -(2**31)
_MONTH: Final = 30 * 86_400
_ROWS: Final = 200
"""Rows of one statement: a server that initialises itself takes short ones only (20,000 bytes)."""


class Offset(NamedTuple):
    """What a zone's clocks show for a while.

    Attributes:
        seconds: east of UTC.
        is_dst: whether it is daylight saving time.
        name: such as ``CEST``.
    """

    seconds: int
    is_dst: bool
    name: str


Transitions = list[tuple[int, Offset]]


@functools.cache
def time_zone_sql() -> str:
    """Return the statements that fill the empty tables of the schema ``mysql``, one a line."""
    numbers: dict[bytes, int] = {}
    names = [(name, numbers.setdefault(content, len(numbers) + 1)) for name, content in zone_files()]
    zones, kinds, changes = [], [], []
    for content, number in numbers.items():
        transitions = since_1970(content)
        offsets = list(dict.fromkeys(offset for _, offset in transitions))
        zones.append(f"({number},'N')")
        kinds += [f"({number},{i},{each.seconds},{each.is_dst:d},'{each.name}')" for i, each in enumerate(offsets)]
        changes += [f"({number},{moment},{offsets.index(offset)})" for moment, offset in transitions]
    statements = itertools.chain(
        _inserts("time_zone (time_zone_id, use_leap_seconds)", zones),
        _inserts("time_zone_name (name, time_zone_id)", [f"('{name}',{number})" for name, number in names]),
        _inserts("time_zone_transition_type (time_zone_id, transition_type_id, `offset`, is_dst, abbreviation)", kinds),
        _inserts("time_zone_transition (time_zone_id, transition_time, transition_type_id)", changes),
    )
    return "".join(statements)


def since_1970(content: bytes) -> Transitions:
    """Return when a zone's clocks change, from 1970 to 2037, as seconds since 1970; the first entry is before all.

    Args:
        content: a TZif file of version 2 or later.
    """
    moments, before = _explicit(content)
    first = max((moment for moment in moments if moment[0] < 0), default=(0, before))[1]
    kept = [(_BEFORE_ALL, first), *(each for each in moments if 0 <= each[0] < _LAST)]
    if b"," in content[content.rindex(b"\n", 0, -1) :]:  # a POSIX TZ rule for the years after the last entry
        kept += _by_rule(content, max(kept[-1][0], 0))
    return kept


def zone_files() -> Iterator[tuple[str, bytes]]:
    """Yield the name of each time zone and its TZif file."""
    package = importlib.resources.files("tzdata")
    for name in package.joinpath("zones").read_text(encoding="ascii").split():
        yield name, package.joinpath("zoneinfo", *name.split("/")).read_bytes()


def _explicit(content: bytes) -> tuple[Transitions, Offset]:
    """Return the transitions that the file lists, and what was before the first one."""
    _, _, *counts = _HEADER.unpack_from(content)
    uts, standards, leaps, times, kinds, chars = counts
    # A TZif file of version 2 repeats its data in 64-bit form. Skip the 32-bit block: RFC 9636, section 3.
    start = _HEADER.size + times * 5 + kinds * 6 + chars + leaps * 8 + standards + uts
    _, _, _, _, _, times, kinds, chars = _HEADER.unpack_from(content, start)
    start += _HEADER.size
    moments = struct.unpack_from(f">{times}q", content, start)
    chosen = content[start + times * 8 : start + times * 9]
    start += times * 9
    names = content[start + kinds * 6 : start + kinds * 6 + chars]
    offsets = []
    for seconds, is_dst, place in struct.iter_unpack(">lBB", content[start : start + kinds * 6]):
        name = names[place : names.index(0, place)].decode("ascii")
        offsets.append(Offset(seconds, bool(is_dst), name))
    return [(moment, offsets[kind]) for moment, kind in zip(moments, chosen, strict=True)], offsets[0]


def _by_rule(content: bytes, after: int) -> Iterator[tuple[int, Offset]]:
    zone = ZoneInfo.from_file(io.BytesIO(content))
    present = _shown(zone, after)
    # No zone changes twice within 30 days by rule, so comparing the ends of such steps finds every change.
    for end in range(after + _MONTH, _LAST, _MONTH):
        if (shown := _shown(zone, end)) != present:
            present = shown
            moment = _change(zone, end - _MONTH, end)
            there = datetime.fromtimestamp(moment, zone)
            assert shown is not None, zone
            yield moment, Offset(int(shown.total_seconds()), bool(there.dst()), there.tzname() or "")


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """Find the first second of what holds at ``high`` and not yet at ``low``; rules change at full minutes."""
    wanted = _shown(zone, high)
    low, high = low // 60, high // 60
    while high - low > 1:
        middle = (low + high) // 2
        if _shown(zone, middle * 60) == wanted:
            high = middle
        else:
            low = middle
    return high * 60


def _shown(zone: ZoneInfo, moment: int) -> timedelta | None:
    return datetime.fromtimestamp(moment, zone).utcoffset()


def _inserts(target: str, rows: list[str]) -> Iterable[str]:
    for start in range(0, len(rows), _ROWS):
        yield f"insert into mysql.{target} values {','.join(rows[start : start + _ROWS])};\n"  # noqa: S608 - names of tzdata
