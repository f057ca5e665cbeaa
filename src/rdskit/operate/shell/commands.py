r"""Commands of the prompt itself, such as ``\d``.

They are few, the same for every engine, and named as in psql.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.operate.shell import schema
from rdskit.operate.shell.formats import as_lines

if TYPE_CHECKING:
    from rdskit.operate.shell.model import Settings
    from rdskit.operate.shell.session import ShellSession

QUIT: Final = frozenset({"\\q", "quit", "exit"})
HELP: Final = {
    "\\d": "tables, views and sequences (also \\dt)",
    "\\d NAME": "columns and indexes of a table",
    "\\x [on|off|auto]": "a line for each value; auto where a row is wider than the terminal",
    "\\limit [N]": "rows shown of a query; 0 for all",
    "\\timing [on|off]": "how long each statement took",
    "\\conninfo": "where this session is",
    "\\?": "this list (also help)",
    "\\q": "leave (also quit, exit, Ctrl-D)",
}


async def run_command(
    text: str, session: ShellSession, settings: Settings, width: int | None
) -> tuple[list[str], Settings]:
    """Run a command; return the lines to print and the new settings.

    Args:
        text: the typed text; not one of ``QUIT``.
        session: the session.
        settings: the current settings.
        width: the terminal's width; None without a terminal.

    Raises:
        ConfigError: there is no such command, or its argument is wrong.
        RdskitError: a query failed.
    """
    word, _, rest = text.strip().rstrip(";").strip().partition(" ")
    rest = rest.strip()
    if word in {"\\d", "\\dt"}:
        plain = settings._replace(timing=False)
        found = await schema.described(session, rest) if rest else (await schema.tables(session),)
        return [line for answer in found for line in as_lines(answer, plain, width)], settings
    if word == "\\x":
        return _set(settings, "expanded", rest or ("off" if settings.expanded == "on" else "on"), ("on", "off", "auto"))
    if word == "\\timing":
        chosen = rest or ("off" if settings.timing else "on")
        lines, _ = _set(settings, "timing", chosen, ("on", "off"))
        return lines, settings._replace(timing=chosen == "on")
    if word == "\\limit":
        if rest and not rest.isdecimal():
            raise ConfigError(f"\\limit {rest} is not a number of rows: give one, or 0 for all")
        settings = settings._replace(limit=int(rest)) if rest else settings
        return [f"limit is {settings.limit or 'off'}"], settings
    if word == "\\conninfo":
        open_too = ", in a transaction" if session.in_transaction else ""
        return [f"connected to the writer at {session.host or 'no host'}{open_too}"], settings
    if word.lower() in {"\\?", "help"}:
        room = max(map(len, HELP))
        return [f"{name:<{room}}  {about}" for name, about in HELP.items()], settings
    near = difflib.get_close_matches(word, [name.split()[0] for name in HELP], 1)
    raise ConfigError(f"{word} is not a command here: {f'did you mean {near[0]}, or ' if near else ''}see \\?")


def _set(settings: Settings, name: str, chosen: str, choices: tuple[str, ...]) -> tuple[list[str], Settings]:
    if chosen not in choices:
        raise ConfigError(f"{chosen!r} is not known: choose {', '.join(choices)}")
    return [f"{name} is {chosen}"], settings if name == "timing" else settings._replace(expanded=chosen)
