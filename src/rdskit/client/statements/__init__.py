"""Insert and stream many rows, read pages, and convert rows to the caller's own types."""

from rdskit.client.statements.batches import Pace, Source
from rdskit.client.statements.bulk import execute_many, insert_many
from rdskit.client.statements.into import into_all, into_one, into_value
from rdskit.client.statements.pages import Page, Pages
from rdskit.client.statements.stored_code import StoredCode
from rdskit.client.statements.stream import require_stream, stream

__all__ = [
    "Pace",
    "Page",
    "Pages",
    "Source",
    "StoredCode",
    "execute_many",
    "insert_many",
    "into_all",
    "into_one",
    "into_value",
    "require_stream",
    "stream",
]
