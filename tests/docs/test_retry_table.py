"""docs/failover.md prints the retry table of the code."""

from __future__ import annotations

from rdskit.kernel.failures import RETRIES, Failure, Phase
from tests.docs.pages import ROOT


def test_the_page_prints_the_retry_table_as_it_is() -> None:
    rows = ["| what went wrong | " + " | ".join(phase.value for phase in Phase) + " |", "|---" * (len(Phase) + 1) + "|"]
    for failure in Failure:
        cells = [_cell(*(action.name for action in RETRIES[failure, phase])) for phase in Phase]
        rows.append(f"| {failure.value} | " + " | ".join(cells) + " |")
    table = "\n".join(rows)
    assert table in (ROOT / "docs/failover.md").read_text(), f"docs/failover.md must print:\n{table}"


def test_the_page_explains_each_action() -> None:
    page = (ROOT / "docs/failover.md").read_text()
    actions = {action for pair in RETRIES.values() for action in pair}
    assert [action.name for action in actions if f"- `{action.name}`: {action.value}" not in page] == []


def _cell(read: str, write: str) -> str:
    return f"`{read}`" if read == write else f"read `{read}`, write `{write}`"
