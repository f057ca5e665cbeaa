"""Query what kind of table rows go into, and choose the way to insert them.

COPY is the fastest way, but some tables treat it differently from INSERT. COPY ignores rules and ``generated always``,
refuses views and row-level security, and fires a statement-level trigger once, where several INSERT statements fire it
for each. Rows for such tables always go through a temporary table, as one statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.drivers.postgres.arguments import FIRST_USER_OID, Columns, UnfitError, rule_for
from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import quote_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rdskit.kernel.ports import Batch
    from rdskit.kernel.sql.insert import Insertion

    Fetch = Callable[[str, Sequence[Any], float | None], Awaitable[Any]]

# tgtype is a set of bits: 1 for each row, 4 on INSERT (pg_trigger.h). In pg_rewrite, event 3 is INSERT.
_TABLE: Final = """
select c.relkind in ('r', 'p')
       and not row_security_active(c.oid)
       and not exists (select from pg_rewrite where ev_class = c.oid and ev_type = '3')
       and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = any($2::text[])
                       and (a.attidentity = 'a' or a.attgenerated <> '')) as copies,
       exists (select from pg_trigger where tgrelid = c.oid and not tgisinternal and tgenabled <> 'D'
               and tgtype & 4 = 4) as triggers,
       exists (select from pg_trigger where tgrelid = c.oid and not tgisinternal and tgenabled <> 'D'
               and tgtype & 5 = 4) as statement_triggers,
       array(select coalesce(a.atttypid, 0) from unnest($2::text[]) with ordinality as given(name, place)
             left join pg_attribute a on a.attrelid = c.oid and a.attname = given.name and not a.attisdropped
             order by place)::oid[] as types
from pg_class c where c.oid = $1::text::regclass
"""


class Target:
    """A table that rows are inserted into.

    Attributes:
        takes_copy: COPY has the same effect as INSERT.
        takes_few: several INSERT statements have the same effect as one.
    """

    def __init__(self, insertion: Insertion, found: Any, types: dict[int, Any]) -> None:
        conflicts = insertion.on_conflict is not None
        self.takes_copy = found["copies"] and not (conflicts and found["triggers"])
        self.takes_few = self.takes_copy and not found["statement_triggers"]
        self._insertion = insertion
        self._columns = Columns([rule_for(oid, types) for oid in found["types"]])

    def converted(self, rows: Batch, before: int) -> Batch:
        """Return rows converted for sending.

        Args:
            rows: the caller's rows.
            before: how many rows of the insert came before them.

        Raises:
            DriverError: a value has no exact counterpart in its column.
        """
        try:
            return self._columns.converted(rows)
        except UnfitError as error:
            message = (
                f"row {before + error.number + 1} for table {self._insertion.table!r} cannot be sent: {error.reason}; "
                f"give values of the columns' types (column {self._insertion.columns[error.place]!r})"
            )
            raise DriverError(Failure.REFUSED, StatementError(message)) from error.reason


async def target_of(raw: Any, fetch: Fetch, insertion: Insertion) -> Target:
    """Query the server for a table's properties and its columns' types."""
    arguments = [quote_name(insertion.table, Dialect.POSTGRES), list(insertion.columns)]
    found = await fetch(_TABLE, arguments, None)
    unknown = [
        oid for oid in found["types"] if oid not in raw.types and (oid >= FIRST_USER_OID or rule_for(oid, {}) is None)
    ]
    if any(oid >= FIRST_USER_OID or oid in _COMPOSED for oid in unknown):
        await raw.learn_types(unknown)
    return Target(insertion, found, raw.types)


# Arrays, ranges and multiranges of numbers among the built-in types.
_COMPOSED: Final = frozenset(
    {1005, 1007, 1016, 1021, 1022, 1028, 1231, 3904, 3905, 3906, 3907, 3926, 3927, 4451, 4532, 4536, 6150, 6151, 6157}
)
