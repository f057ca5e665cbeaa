"""Export environment variables in the syntax of a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Shell", "assignment"]

Shell = Literal["posix", "fish", "powershell"]


def _fish(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: str) -> str:
    escaped = value.replace("'", "''")
    return f"$env:{name} = '{escaped}'"


_ASSIGNMENTS: Final[dict[Shell, Callable[[str, str], str]]] = {
    "posix": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": _fish,
    "powershell": _powershell,
}


def assignment(shell: Shell, name: str, value: str) -> str:
    """Return the line that sets a variable and exports it.

    Args:
        shell: whose syntax it has; ``posix`` is understood by bash and zsh as well.
        name: of the variable.
        value: any text without line breaks.
    """
    return _ASSIGNMENTS[shell](name, value)
