"""Completion in zsh: what Typer's script lacks."""

from __future__ import annotations

from typing import Final

from typer import _completion_shared as shared

__all__ = ["complete_at_first_tab"]

# zsh loads a completion file at the first Tab and runs it as the completion function (zshcompsys, "Autoloaded files").
# Typer's file only defines the real function then, so that the first Tab of each shell completes nothing.
_CALL: Final = '\n[[ $funcstack[1] == _%(prog_name)s ]] && %(complete_func)s "$@"\n'


def complete_at_first_tab() -> None:
    """Let the zsh script that ``--install-completion`` writes complete when it is loaded, too."""
    scripts: dict[str, str] = getattr(shared, "_completion_scripts", {})  # private: another Typer may have none
    if "zsh" in scripts and "funcstack" not in scripts["zsh"]:
        scripts["zsh"] += _CALL
