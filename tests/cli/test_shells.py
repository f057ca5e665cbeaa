"""``rdskit local env --shell``: each shell gets the value that was meant, whatever is in it."""

from __future__ import annotations

import subprocess

import pytest

from rdskit.cli.shells import Shell, assignment

VALUE = """/home/o'neil/a \\ "b" $HOME `id`"""


@pytest.mark.no_server
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_posix_shell_reads_the_value_back(shell: str) -> None:
    script = f'{assignment("posix", "PLACE", VALUE)}\nprintf %s "$PLACE"'
    assert subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True).stdout == VALUE


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", """set -gx PLACE '/home/o\\'neil/a \\\\ "b" $HOME `id`'"""),
        ("powershell", """$env:PLACE = '/home/o''neil/a \\ "b" $HOME `id`'"""),
    ],
)
def test_other_shells_get_their_own_quotes(shell: Shell, line: str) -> None:
    assert assignment(shell, "PLACE", VALUE) == line
