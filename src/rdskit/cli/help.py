"""The style of all help texts: plain text that wraps, whole sentences, and examples."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from rdskit.kernel.typing import override


class Group(TyperGroup):
    """A group whose help lists its commands with their whole first sentence; Typer cuts it."""

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands and what each is for."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, first_sentence(command.help or "")) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def group(name: str, about: str, *examples_of: str) -> typer.Typer:
    """Return the application of a group of commands.

    Args:
        name: of the group.
        about: what the group is for.
        examples_of: command lines.
    """
    return typer.Typer(
        name=name,
        cls=Group,
        help=about,
        epilog=examples(*examples_of),
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
    )


def single() -> typer.Typer:
    """Return the application of a single command."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def examples(*lines: str) -> str:
    """Return the text below a command's help that shows it in use, one command line for each line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def first_sentence(text: str) -> str:
    """Return a text's first sentence, on one line."""
    words = " ".join(text.split())
    for position, sign in enumerate(words):
        if sign == "." and words[position + 1 : position + 3].strip()[:1].isupper():
            return words[: position + 1]
    return words
