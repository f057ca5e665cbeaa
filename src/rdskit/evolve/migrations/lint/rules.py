"""Every rule of lint, by family; ``docs/lint.md`` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rdskit.evolve.migrations.lint import common, mysql, postgres
from rdskit.reports import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.evolve.migrations.lint.case import Case

POSTGRES: Final = frozenset({"postgres"})
MYSQL: Final = frozenset({"mysql", "mariadb"})
ALL: Final = POSTGRES | MYSQL


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: as findings and waivers name it.
        products: for which it holds.
        severity: of its findings.
        about: what it prevents, in one sentence.
        remedy: the safe way.
        check: returns what is wrong with a statement; None if nothing is.
    """

    id: str
    products: frozenset[str]
    severity: Severity
    about: str
    remedy: str
    check: Callable[[Case], str | None]


_BAD, _WARN, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

RULES: Final = (
    # -- PostgreSQL
    Rule(
        "index-not-concurrent",
        POSTGRES,
        _BAD,
        "CREATE INDEX blocks writes to its table until the whole index is built.",
        "-- no transaction\ncreate index concurrently NAME on TABLE (…)",
        postgres.index_not_concurrent,
    ),
    Rule(
        "drop-index-not-concurrent",
        POSTGRES,
        _WARN,
        "DROP INDEX blocks reads and writes of its table, and waits for every open transaction on it.",
        "-- no transaction\ndrop index concurrently NAME",
        postgres.drop_index_not_concurrent,
    ),
    Rule(
        "concurrently-in-transaction",
        POSTGRES,
        _BAD,
        "CONCURRENTLY is refused inside a transaction.",
        "Write `-- no transaction` into the section, and give the statement a migration of its own.",
        postgres.concurrently_in_transaction,
    ),
    Rule(
        "column-rewrites-table",
        POSTGRES,
        _BAD,
        "A volatile default, a stored generated column, an identity or a serial column rewrites the table "
        "under a lock that blocks reads.",
        "Add the column without a default, set the default for new rows, and fill old rows in batches.",
        postgres.column_rewrites_table,
    ),
    Rule(
        "required-column",
        ALL,
        _BAD,
        "A column that is NOT NULL without a default fails on a table with rows, or fills it with zeros and blanks.",
        "Give it a default, or add it nullable, fill it in batches, and make it NOT NULL afterwards.",
        common.required_column,
    ),
    Rule(
        "set-not-null",
        POSTGRES,
        _BAD,
        "SET NOT NULL reads the whole table under a lock that blocks reads.",
        "alter table T add constraint C check (X is not null) not valid;\nalter table T validate constraint C;\n"
        "alter table T alter X set not null, drop constraint C;  -- the check makes it immediate",
        postgres.set_not_null,
    ),
    Rule(
        "change-type",
        POSTGRES,
        _BAD,
        "Changing a column's type rewrites the table and its indexes under a lock that blocks reads.",
        "Add a column of the new type, write both, fill it in batches, and switch the readers.",
        postgres.change_type,
    ),
    Rule(
        "constraint-validates",
        POSTGRES,
        _BAD,
        "A foreign key or check that is added as valid reads the whole table while writes wait.",
        "Add it NOT VALID, then `alter table T validate constraint C` in a migration of its own.",
        postgres.constraint_validates,
    ),
    Rule(
        "constraint-builds-index",
        POSTGRES,
        _BAD,
        "A unique constraint, primary key or exclusion that is added builds its index while reads and writes wait.",
        "-- no transaction\ncreate unique index concurrently I on T (…);\n"
        "alter table T add constraint C unique using index I",
        postgres.constraint_builds_index,
    ),
    Rule(
        "maintenance-locks",
        POSTGRES,
        _BAD,
        "VACUUM FULL, CLUSTER, REINDEX and REFRESH MATERIALIZED VIEW without CONCURRENTLY block reads while they run.",
        "Use the CONCURRENTLY form, or pg_repack.",
        postgres.maintenance_locks,
    ),
    Rule(
        "locks-table",
        ALL,
        _BAD,
        "LOCK TABLE blocks others until the transaction ends.",
        "Lock the rows that are concerned, or take an advisory lock.",
        common.locks_table,
    ),
    Rule(
        "enum-value-used-at-once",
        POSTGRES,
        _WARN,
        "A new enum value cannot be used in the transaction that adds it.",
        "Add the value in a migration of its own.",
        postgres.enum_value_in_transaction,
    ),
    Rule(
        "domain-constraint",
        POSTGRES,
        _WARN,
        "A constraint that is added to a domain reads every table that uses it, while writes wait.",
        "Use a check on the table, added NOT VALID and validated afterwards.",
        postgres.domain_constraint,
    ),
    # -- both families
    Rule(
        "drop-column",
        ALL,
        _WARN,
        "The running version of the application may still read or write the column; its data is gone.",
        "Deploy a version that does not use it first, then waive this rule with that reason.",
        common.drop_column,
    ),
    Rule(
        "drop-table",
        ALL,
        _WARN,
        "The running version of the application may still use the table; its data is gone.",
        "Rename it and wait, or take a snapshot first; then waive this rule with that reason.",
        common.drop_table,
    ),
    Rule(
        "rename",
        ALL,
        _BAD,
        "The running version of the application knows the old name only, and fails until it is replaced.",
        "Add the new name (a column that both versions write, or a view), switch, then remove the old one.",
        common.rename,
    ),
    Rule(
        "whole-table-write",
        ALL,
        _BAD,
        "UPDATE or DELETE without WHERE locks every row, and doubles the table or the undo log.",
        "Change rows in batches by key, each in its own transaction (`rdskit.evolve.migrations.helpers.backfill`).",
        common.whole_table_write,
    ),
    Rule(
        "truncate",
        ALL,
        _WARN,
        "TRUNCATE removes all rows for good, and with CASCADE those of other tables.",
        "Delete in batches, or waive this rule with the reason.",
        common.truncate,
    ),
    Rule(
        "small-key",
        ALL,
        _WARN,
        "A 4-byte key ends at 2,147,483,647, and a change of its type then rewrites the table.",
        "Use bigint for keys that the server counts up.",
        common.small_key,
    ),
    Rule(
        "drop-schema",
        ALL,
        _BAD,
        "DROP SCHEMA, DROP DATABASE and DROP OWNED remove everything inside for good.",
        "Drop the objects by name.",
        common.drop_schema,
    ),
    # -- MySQL and MariaDB
    Rule(
        "table-copy",
        MYSQL,
        _BAD,
        "The change copies the whole table, and writes wait until it is done.",
        "Change it online, or split it into changes that INSTANT or INPLACE can do.",
        mysql.table_copy,
    ),
    Rule(
        "convert-charset",
        MYSQL,
        _BAD,
        "CONVERT TO CHARACTER SET copies the table while writes wait, and may change column types.",
        "Add columns of the new character set, or change the table online.",
        mysql.convert_charset,
    ),
    Rule(
        "foreign-key-copies",
        MYSQL,
        _BAD,
        "Adding a foreign key copies the table, unless foreign_key_checks is off, and locks the parent.",
        "set foreign_key_checks = 0 first, and check the rows yourself; or do without the constraint.",
        mysql.foreign_key_copies,
    ),
    Rule(
        "unique-over-duplicates",
        MYSQL,
        _WARN,
        "A unique key that is added to a table with rows fails at its first duplicate, after all the work.",
        "Look for duplicates first: select COLUMNS, count(*) from T group by COLUMNS having count(*) > 1",
        mysql.unique_over_duplicates,
    ),
    Rule(
        "explicit-lock",
        MYSQL,
        _BAD,
        "ALGORITHM=COPY, LOCK=SHARED and LOCK=EXCLUSIVE block writes for as long as the change runs.",
        "Leave them out: INSTANT and INPLACE, LOCK=NONE are tried by themselves.",
        mysql.explicit_lock,
    ),
    Rule(
        "no-primary-key",
        MYSQL,
        _WARN,
        "Without a primary key every replicated UPDATE and DELETE scans the table, and online changes are impossible.",
        "Give the table a primary key.",
        mysql.no_primary_key,
    ),
    Rule(
        "not-innodb",
        MYSQL,
        _BAD,
        "Only InnoDB is crash-safe; RDS can restore no other engine to a point in time.",
        "Leave ENGINE out, or write ENGINE=InnoDB.",
        mysql.not_innodb,
    ),
    Rule(
        "narrow-charset",
        MYSQL,
        _WARN,
        "utf8 and utf8mb3 hold three bytes a character: emoji and rare scripts are refused or lost.",
        "Use utf8mb4.",
        mysql.narrow_charset,
    ),
    Rule(
        "primary-key-rebuild",
        MYSQL,
        _BAD,
        "Dropping or replacing a primary key rebuilds the table; dropping alone copies it while writes wait.",
        "Drop and add it in one statement, at a quiet time, or change the table online.",
        mysql.primary_key_rebuild,
    ),
    Rule(
        "fulltext-index",
        MYSQL,
        _WARN,
        "A fulltext or spatial index is built while writes wait.",
        "Build it at a quiet time, or on a new table.",
        mysql.fulltext_index,
    ),
    Rule(
        "optimize-table",
        MYSQL,
        _WARN,
        "OPTIMIZE TABLE and ENGINE=InnoDB rebuild the whole table.",
        "Rebuild outside of deployments: `rdskit maintain`.",
        mysql.optimize_table,
    ),
    Rule(
        "mixed-commit",
        MYSQL,
        _NOTE,
        "DDL commits by itself: if the migration fails half-way, what stands before it stays.",
        "Give each schema change a migration of its own.",
        mysql.mixed_commit,
    ),
)
