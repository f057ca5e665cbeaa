"""Every column type of MySQL and of MariaDB."""

from __future__ import annotations

from typing import Final

from tests.contract.columns import Column

SHOWN: Final = "hex(cast(v as char))"
_BYTES: Final = "hex(v)"
_SHAPE: Final = "hex(st_aswkb(v))"
_TEXTS: Final = ("''", "' a '", "'naïve 🐬 %'")
_BLOBS: Final = ("x''", "x'00ff27'")


def _shape(kind: str, text: str) -> Column:
    return Column(kind, (f"st_geomfromtext('{text}')",), shown=_SHAPE)


BOTH: Final = (
    # numbers
    Column("boolean", ("true", "false")),
    Column("tinyint", ("-128", "127")),
    Column("tinyint unsigned", ("0", "255")),
    Column("smallint", ("-32768", "32767")),
    Column("smallint unsigned", ("0", "65535")),
    Column("mediumint", ("-8388608", "8388607")),
    Column("mediumint unsigned", ("0", "16777215")),
    Column("int", ("-2147483648", "2147483647")),
    Column("int unsigned", ("0", "4294967295")),
    Column("bigint", ("-9223372036854775808", "9223372036854775807")),
    Column("bigint unsigned", ("0", "18446744073709551615")),
    Column("float", ("0", "0.1", "-3.402823e38"), shown="hex(cast(cast(v as double) as char))"),
    Column("double", ("0", "0.1", "1.7976931348623157e308", "5e-324")),
    Column("decimal(30,10)", ("0", "-12345678901234567890.0123456789")),
    Column("decimal(65,0)", (f"{'9' * 65}",)),
    Column("decimal(65,30)", (f"-{'9' * 35}.{'9' * 30}",)),
    Column("bit(1)", ("b'1'", "b'0'"), shown="hex(v + 0)"),
    Column("bit(64)", ("0", "18446744073709551615"), shown="hex(v + 0)"),
    # texts and bytes
    Column("char(20)", ("''", "'a'", "'naïve 🐬 %'")),
    Column("varchar(40)", _TEXTS),
    Column("tinytext", _TEXTS),
    Column("text", _TEXTS),
    Column("mediumtext", _TEXTS),
    Column("longtext", _TEXTS),
    Column("varchar(40) character set latin1", ("''", "'naïve'")),
    Column("enum('red','green')", ("'red'", "'green'")),
    Column("set('a','b','c')", ("''", "'a,c'")),
    Column("binary(4)", ("x'00ff2700'",), shown=_BYTES),
    Column("varbinary(10)", _BLOBS, shown=_BYTES),
    Column("tinyblob", _BLOBS, shown=_BYTES),
    Column("blob", _BLOBS, shown=_BYTES),
    Column("mediumblob", _BLOBS, shown=_BYTES),
    Column("longblob", _BLOBS, shown=_BYTES),
    # times
    Column("date", ("'0001-01-01'", "'2026-02-28'", "'9999-12-31'")),
    Column("datetime", ("'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'")),
    Column("datetime(6)", ("'2026-03-29 01:30:15.123456'", "'9999-12-31 23:59:59.999999'")),
    Column("timestamp null", ("'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'")),
    Column("timestamp(6) null", ("'2026-03-29 01:30:15.123456'",)),
    Column("time", ("'-838:59:59'", "'24:00:00'")),
    Column("time(6)", ("'-30:02:03.000004'", "'838:59:59'")),
    Column("year", ("1901", "2155", "'0000'")),
    # shapes
    _shape("geometry", "POINT(1 2)"),
    _shape("point", "POINT(1 2)"),
    _shape("linestring", "LINESTRING(0 0,1 1)"),
    _shape("polygon", "POLYGON((0 0,1 0,1 1,0 0))"),
    _shape("multipoint", "MULTIPOINT(1 2,3 4)"),
    _shape("multilinestring", "MULTILINESTRING((0 0,1 1))"),
    _shape("multipolygon", "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))"),
    _shape("geometrycollection", "GEOMETRYCOLLECTION(POINT(1 2))"),
)
_DOCUMENTS: Final = ('{"a": [1, 2.5, null, true]}', "[]", "null", "1", "true", "-2.5", '"null"', '"1"', '"a text"')
_JSON: Final = tuple(f"'{document}'" for document in _DOCUMENTS)
MYSQL: Final = (
    *BOTH,
    Column("json", _JSON),
    Column("vector(3)", ("string_to_vector('[1,2.5,-3]')",), shown="hex(vector_to_string(v))"),
)
MARIADB: Final = (
    *BOTH,
    Column("json", _JSON),
    Column("uuid", ("'12345678-1234-5678-1234-567812345678'",)),
    Column("inet4", ("'192.0.2.1'",)),
    Column("inet6", ("'2001:db8::1'", "'::ffff:192.0.2.1'")),
)
