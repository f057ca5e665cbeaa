"""Completion installed and tried in each shell of this machine, in a terminal of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from typer._completion_shared import get_completion_script

from rdskit.cli.completion import complete_at_first_tab
from tests.cli.terminal import in_terminal

SHELLS = {
    "bash": ["bash", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i"],
}


def test_zsh_completes_when_it_loads_the_script() -> None:
    complete_at_first_tab()
    script = get_completion_script(prog_name="rdskit", complete_var="_RDSKIT_COMPLETE", shell="zsh")  # noqa: S604 - a name; nothing is run
    assert script.count('[[ $funcstack[1] == _rdskit ]] && _rdskit_completion "$@"') == 1


@pytest.mark.no_server
@pytest.mark.parametrize("shell", [name for name in SHELLS if shutil.which(name)])
def test_commands_options_values_and_targets_are_completed(shell: str, tmp_path: Path) -> None:
    (tmp_path / "rdskit.toml").write_text('[targets.warehouse]\nurl = "rds://warehouse"\n')
    (tmp_path / f".{shell}rc").write_text(
        "PS1='$ '\nautoload -Uz compinit && compinit\n" if shell == "zsh" else "PS1='$ '\n"
    )
    home = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SHELL": shutil.which(shell) or shell,
        "HISTFILE": "/dev/null",
    }
    with in_terminal(SHELLS[shell], cwd=tmp_path, variables=home) as terminal:
        terminal.type("rdskit --install-completion\r")
        terminal.until_written("completion installed in")
        terminal.type("exit\r")
        terminal.end()
    with in_terminal(SHELLS[shell], cwd=tmp_path, variables=home) as terminal:
        if shell != "fish":
            terminal.until_written("$ ")  # zsh inserts a Tab that was typed before its editor runs
        terminal.type("rdskit topol\t")
        terminal.until_written("rdskit topology ")
        terminal.type("ware\t")
        terminal.until_written("warehouse ")
        terminal.type("--cred\t")
        terminal.until_written("--credentials ")
        terminal.type("iam --tls verify\t")
        terminal.until_written("verify-full ")
        terminal.type("\x15exit\r")
        assert terminal.end() == 0
