"""Every column type of MySQL and of MariaDB."""

from __future__ import annotations

from typing import Final

from tests.contract.columns import Column

SHOWN: Final = "hex(cast(v as char))"

BOTH: Final = (
    Column("boolean", ("true", "false")),
    Column("tinyint", ("-128", "127")),
    Column("int", ("-2147483648", "2147483647")),
    Column("bigint", ("-9223372036854775808", "9223372036854775807")),
    Column("bigint unsigned", ("0", "18446744073709551615")),
    Column("double", ("0", "0.1", "1.7976931348623157e308")),
    Column("decimal(30,10)", ("0", "-12345678901234567890.0123456789")),
    Column("varchar(40)", ("''", "'naïve 🐬 %'")),
    Column("text", ("''", "'naïve 🐬 %'")),
    Column("blob", ("x''", "x'00ff27'"), shown="hex(v)"),
    Column("date", ("'2026-02-28'", "'9999-12-31'")),
    Column("datetime(6)", ("'2026-03-29 01:30:15.123456'", "'9999-12-31 23:59:59.999999'")),
    Column("timestamp(6) null", ("'2026-03-29 01:30:15.123456'",)),
    Column("time(6)", ("'-30:02:03.000004'", "'838:59:59'")),
)
MYSQL: Final = (*BOTH, Column("json", ("""'{"a": [1, 2.5, null, true]}'""",)))
MARIADB: Final = (*BOTH, Column("uuid", ("'12345678-1234-5678-1234-567812345678'",)))
