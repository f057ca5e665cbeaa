"""Read a query in pages by keyset: one statement per page, without state between the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rdskit.client.statements.into import into_all
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text, require_whole
from rdskit.kernel.sql.keyset import SIZE, Keyset, bounds, decode_cursor, encode_cursor, key_of, page_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from rdskit.kernel.ports import Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of rows, with the cursors of its neighbors.

    Attributes:
        rows: its rows, in the order of the key.
        next: the cursor for ``after=`` that gives the next page; None if there was none when this one was read.
        previous: the cursor for ``before=`` that gives the previous page; None on the first page.
    """

    rows: list[T]
    next: str | None
    previous: str | None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Pages:
    """A query to read in pages, and where to start.

    Attributes:
        query: the query and its order.
        params: the query's own parameters.
        size: rows on a page.
        after: start after the row of this cursor.
        before: start before the row of this cursor, and go backward.
    """

    query: Keyset
    params: Mapping[str, Any]
    size: int
    after: str | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        require_whole("size", self.size, least=1)
        require_text("after", self.after, or_none=True)
        require_text("before", self.before, or_none=True)
        if self.after is not None and self.before is not None:
            raise ConfigError(
                "after= and before= were both given: pages go forward from one, or backward from the other"
            )

    async def read(
        self, fetch: Callable[[str, Mapping[str, Any]], Awaitable[list[Row]]], into: type[T] | None
    ) -> AsyncGenerator[Page[T], None]:
        """Yield page after page; the first one even if it is empty.

        Args:
            fetch: runs a statement with its parameters.
            into: the type to convert each row to; None for a plain row.
        """
        backward = self.before is not None
        cursor = self.before if backward else self.after
        while True:
            key = None if cursor is None else decode_cursor(self.query, cursor)
            page_sql = page_text(self.query, bounded=key is not None, backward=backward)
            # One extra row shows whether there is another page.
            params = {**self.params, **bounds(self.query, key or ()), SIZE: self.size + 1}
            page = self._page(await fetch(page_sql, params), bounded=key is not None, backward=backward)
            cursor = page.previous if backward else page.next
            yield Page(into_all(page.rows, into), page.next, page.previous)
            if cursor is None:
                return

    def _page(self, rows: list[Row], *, bounded: bool, backward: bool) -> Page[Row]:
        more, rows = len(rows) > self.size, rows[: self.size]
        if not rows:
            return Page([], None, None)
        # A backward page is read in reverse order, and returned in the order of the key.
        if backward:
            rows.reverse()
        first, last = self._cursor(rows[0]), self._cursor(rows[-1])
        if backward:
            return Page(rows, last, first if more else None)
        return Page(rows, last if more else None, first if bounded else None)

    def _cursor(self, row: Row) -> str:
        return encode_cursor(self.query, key_of(self.query, row))
