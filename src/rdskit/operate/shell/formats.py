"""Format answers as text: a table, one line for each value, CSV, JSON."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rdskit.operate.shell.model import Answer, Settings

NULL = "NULL"
_NUMBERS = (int, float, Decimal)


def text_of(value: Any) -> str:
    """Format a value for people and CSV files, without control characters that a terminal would interpret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"\\x{bytes(value).hex()}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=text_of, ensure_ascii=False)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return str(value)


def json_of(value: Any) -> Any:
    """Convert a value for JSON: numbers stay numbers, except decimals, which would lose digits."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has neither infinity nor NaN
    if isinstance(value, dict):
        return {str(key): json_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_of(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date | dt.time) else text_of(value)


def as_object(answer: Answer) -> dict[str, Any]:
    """Return an answer as a mapping for JSON."""
    formatted: dict[str, Any] = {
        "statement": answer.verb,
        "seconds": round(answer.seconds, 6),
        "count": answer.affected,
    }
    if answer.returns_rows:
        formatted["columns"] = list(answer.columns)
        formatted["rows"] = [[json_of(value) for value in row] for row in answer.rows]
    return formatted


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV (RFC 4180 with bare line feeds); NULL is an empty field."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows(["" if value is None else text_of(value) for value in row] for row in rows)
    return written.getvalue()


def as_lines(answer: Answer, settings: Settings, width: int | None) -> Iterator[str]:
    """Yield an answer's lines for a person.

    Args:
        answer: the answer of one statement.
        settings: the display settings.
        width: the terminal's width; None without a terminal.
    """
    if answer.columns and settings.form != "table":
        yield from _data(answer, settings)
    elif answer.columns and answer.rows:
        cells = [[NULL if value is None else _cell(value) for value in row] for row in answer.rows]
        widths = [max(map(cell_len, column)) for column in zip(answer.columns, *cells, strict=True)]
        fits = width is None or sum(widths) + 3 * (len(widths) - 1) <= width
        if settings.expanded == "on" or (settings.expanded == "auto" and not fits):
            yield from _expanded(answer.columns, cells)
        else:
            yield from _table(answer, cells, widths)
    elif answer.columns:
        yield " | ".join(map(escaped, answer.columns))
    yield _footer(answer, settings)


def _data(answer: Answer, settings: Settings) -> Iterator[str]:
    """Yield CSV or JSON that is safe for a terminal; JSON escapes control characters by itself."""
    if settings.form == "json":
        yield from json.dumps(as_object(answer), indent=2, ensure_ascii=False).splitlines()
        return
    for line in as_csv([answer.columns, *answer.rows]).split("\n")[:-1]:
        yield "".join(map(_visible, line))


def _footer(answer: Answer, settings: Settings) -> str:
    rows = f"{answer.affected} row{'' if answer.affected == 1 else 's'}"
    took = f" in {answer.seconds * 1000:.1f} ms" if settings.timing else ""
    if answer.returns_rows:
        more = ", and there are more: \\limit 0 shows all" if answer.more else ""
        return f"({rows}{took}{more})"
    return f"{answer.verb}: {rows}{took}" if answer.affected else f"{answer.verb}{took}"


def _cell(value: Any) -> str:
    text = text_of(value)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def _table(answer: Answer, cells: list[list[str]], widths: list[int]) -> Iterator[str]:
    numeric = [
        all(value is None or (isinstance(value, _NUMBERS) and not isinstance(value, bool)) for value in column)
        for column in zip(*answer.rows, strict=True)
    ]
    yield " | ".join(_padded(escaped(name), room) for name, room in zip(answer.columns, widths, strict=True)).rstrip()
    yield "-+-".join("-" * room for room in widths)
    for row in cells:
        fields = zip(row, widths, numeric, strict=True)
        yield " | ".join(_padded(cell, room, right=right) for cell, room, right in fields).rstrip()


def _expanded(columns: Sequence[str], cells: list[list[str]]) -> Iterator[str]:
    room = max(map(cell_len, columns))
    for number, row in enumerate(cells, 1):
        yield f"-[ row {number} ]-"
        for name, cell in zip(columns, row, strict=True):
            yield f"{_padded(escaped(name), room)} | {cell}"


def _padded(text: str, room: int, *, right: bool = False) -> str:
    space = " " * (room - cell_len(text))
    return space + text if right else text + space
