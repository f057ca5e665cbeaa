"""Run statements non-interactively, from ``-c`` or standard input; the first error ends the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rdskit.operate.shell.commands import run_command
from rdskit.operate.shell.formats import as_csv, as_lines, as_object
from rdskit.operate.shell.model import Settings
from rdskit.operate.shell.policy import is_command, statements
from rdskit.operate.shell.running import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.operate.shell.model import Answer, Format
    from rdskit.operate.shell.session import ShellSession


async def run_script(
    session: ShellSession,
    text: str,
    form: Format,
    write: Callable[[str], None],
    say: Callable[[str], None],
    width: int | None,
) -> None:
    r"""Run the statements of a text, and write their answers.

    Args:
        session: the session.
        text: statements, or one command such as ``\d``.
        form: the format of answers; JSON is one document.
        write: called with text that includes its line breaks.
        say: called with each notice, which is not part of the output.
        width: the terminal's width; None without a terminal.

    Raises:
        RdskitError: a statement failed; those before it are written, except as JSON.
        GivenUpError: after Ctrl-C.
    """
    settings = Settings(limit=0, expanded="auto" if width else "off")
    if is_command(text):
        lines, _ = await run_command(text, session, settings, width)
        write("\n".join(lines) + "\n")
        return
    answers = []
    for statement in statements(text, session.dialect):
        answer = await interruptible(session, session.run(statement), say, stops=True)
        if form == "json":
            answers.append(as_object(answer))
        else:
            write(_written(answer, form, settings, width))
    if form == "json":
        write(json.dumps({"results": answers}, indent=2, ensure_ascii=False) + "\n")


def _written(answer: Answer, form: Format, settings: Settings, width: int | None) -> str:
    if form == "csv":
        return as_csv([answer.columns, *answer.rows]) if answer.columns else ""
    return "\n".join(as_lines(answer, settings, width)) + "\n"
