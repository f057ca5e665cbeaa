"""Every column type of every engine, read and written; the tables in docs/engines.md are what these tests saw.

``COLUMN_TYPES=write python -m pytest tests/contract/test_column_types.py`` brings the tables up to date.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.contract import columns_family, columns_postgres
from tests.contract.columns import Column, measure, rendered

if TYPE_CHECKING:
    import rdskit
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(120)

PAGE: Final = Path(__file__).parents[2] / "docs" / "engines.md"
COLUMNS: Final[dict[str, tuple[tuple[Column, ...], str]]] = {
    "postgres": (columns_postgres.COLUMNS, columns_postgres.SHOWN),
    "mariadb": (columns_family.MARIADB, columns_family.SHOWN),
    "mysql": (columns_family.MYSQL, columns_family.SHOWN),
}


async def test_every_column_type_does_what_the_page_says(engine: Engine, db: rdskit.Database) -> None:
    columns, shown = COLUMNS[engine.name]
    table = rendered([await measure(db, column, shown, number) for number, column in enumerate(columns)])
    page = PAGE.read_text()
    marked = re.compile(f"(<!-- types of {engine.name} -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
    if os.environ.get("COLUMN_TYPES") == "write":
        PAGE.write_text(marked.sub(lambda found: found[1] + table + found[3], page))
        return
    found = marked.search(page)
    assert found is not None
    assert found[2].splitlines() == table.splitlines()
