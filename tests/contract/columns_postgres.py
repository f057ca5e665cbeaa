"""Every column type of PostgreSQL, those of its usual extensions included."""

from __future__ import annotations

from typing import Final

from tests.contract.columns import Column

SHOWN: Final = "v::text"


def _literals(*texts: str, of: str) -> tuple[str, ...]:
    return tuple(f"'{text}'::{of}" for text in texts)


def _column(kind: str, *texts: str, setup: tuple[str, ...] = ()) -> Column:
    return Column(kind, _literals(*texts, of=kind), setup=setup)


_DATES: Final = ("2026-02-28", "0001-01-01", "9999-12-31", "0044-03-15 BC", "12026-01-01", "infinity", "-infinity")
_MOMENTS: Final = (
    "2026-03-29 01:30:15.123456",
    "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
    "0044-03-15 12:00:00 BC",
    "12026-01-01 00:00:00",
    "infinity",
    "-infinity",
)
_SPANS: Final = (
    "1 day 02:03:04.000005",
    "-00:00:01",
    "1 mon",
    "-1 year -2 mons +3 days 04:05:06",
    "178000000 years",
    "2147483647 days",
)
_DOCUMENTS: Final = ('{"a": [1, 2.5, null, true]}', "1", "true", "-2.5", "null", '"null"', '"1"', '"a text"', "[]")
_NUMBERS: Final = ("0", "-0.00", "1.50", "123456789012345678901234567890.0123456789", "1e1000", "1e-1000", "NaN")

_STATISTICS: Final = (
    "create table counted as select n % 3 as a, n % 3 as b from generate_series(1, 100) n",
    "create statistics counted_both (ndistinct, dependencies, mcv) on a, b from counted",
    "analyze counted",
)

COLUMNS: Final = (
    # numbers
    _column("boolean", "true", "false"),
    _column("smallint", "-32768", "32767"),
    _column("integer", "-2147483648", "2147483647"),
    _column("bigint", "-9223372036854775808", "9223372036854775807"),
    _column("real", "0", "-0", "1.5", "3.4028235e38", "NaN", "Infinity", "-Infinity"),
    _column("double precision", "0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"),
    _column("numeric", *_NUMBERS, "Infinity", "-Infinity"),
    _column("numeric(12,2)", "0", "-0.01", "9999999999.99", "NaN"),
    _column("money", "0", "1234.56", "-92233720368547758.08"),
    _column("oid", "0", "4294967295"),
    _column("xid", "0", "4294967295"),
    _column("xid8", "0", "18446744073709551615"),
    _column("cid", "0", "4294967295"),
    _column("pg_lsn", "0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"),
    # text and bytes
    _column("text", "", 'naïve 🐘 \\ " %'),
    _column("varchar(20)", "", "a  "),
    _column("char(4)", "", "a", "abcd"),
    _column('"char"', "", "a", "\\377"),
    _column("name", "", "a name"),
    _column("bytea", "", "\\x00ff27"),
    _column("uuid", "12345678-1234-5678-1234-567812345678"),
    _column("json", *_DOCUMENTS),
    _column("jsonb", *_DOCUMENTS),
    _column("jsonpath", '$."a"[*]'),
    _column("bit(3)", "101"),
    _column("bit varying(10)", "", "1", "1010101010"),
    _column("tsvector", "''fat'':2 ''cat'':3A"),
    _column("tsquery", "fat & ( rat | cat )"),
    # time
    _column("date", *_DATES),
    _column("timestamp", *_MOMENTS),
    _column("timestamptz", *_MOMENTS),
    _column("time", "00:00:00", "23:59:59.999999", "24:00:00"),
    _column("timetz", "00:00:00+00", "23:59:59.999999-15:59", "12:00:00+05:30", "12:00:00+00:00:30", "24:00:00-01"),
    _column("interval", *_SPANS),
    # networks and geometry
    _column("inet", "10.0.0.1", "10.0.0.1/24", "::1", "fe80::1/64"),
    _column("cidr", "10.0.0.0/24", "::/0"),
    _column("macaddr", "08:00:2b:01:02:03"),
    _column("macaddr8", "08:00:2b:01:02:03:04:05"),
    _column("point", "(1,2)", "(-Infinity,NaN)"),
    _column("line", "{1,2,3}"),
    _column("lseg", "[(1,2),(3,4)]"),
    _column("box", "(3,4),(1,2)"),
    _column("path", "[(1,2),(3,4)]", "((1,2),(3,4))"),
    _column("polygon", "((1,2),(3,4),(5,6))"),
    _column("circle", "<(1,2),3>"),
    # ranges
    _column("int4range", "empty", "[1,5)", "[1,)", "(,)"),
    _column("int8range", "empty", "[1,9223372036854775807)"),
    _column("numrange", "empty", "(1.50,2.5]", "[NaN,NaN]", "(,Infinity]"),
    _column("daterange", "empty", "[2026-01-01,2026-02-01)", "[-infinity,infinity)", "[0044-03-15 BC,12026-01-01)"),
    _column("tsrange", "empty", '["2026-01-01 00:00:00","2026-02-01 00:00:00")', "[-infinity,infinity)"),
    _column("tstzrange", "empty", '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")', "[-infinity,infinity]"),
    _column("int4multirange", "{}", "{[1,5),[7,)}"),
    _column("int8multirange", "{}", "{[1,5),[7,)}"),
    _column("nummultirange", "{}", "{(1.50,2.5],[7,Infinity]}"),
    _column("datemultirange", "{}", "{[2026-01-01,2026-02-01),[12026-01-01,infinity)}"),
    _column("tsmultirange", "{}", "{[-infinity,infinity)}"),
    _column("tstzmultirange", "{}", "{[-infinity,infinity)}"),
    # names of things, and what the server keeps for itself
    _column("regclass", "pg_class", "-"),
    _column("regtype", "integer", "-"),
    _column("regproc", "now", "-"),
    _column("regprocedure", "abs(integer)", "-"),
    _column("regoper", "||/", "0"),
    _column("regoperator", "+(integer,integer)", "0"),
    _column("regrole", "pg_monitor", "-"),
    _column("regnamespace", "pg_catalog", "-"),
    _column("regconfig", "english", "-"),
    _column("regdictionary", "simple", "-"),
    _column("regcollation", '"C"', "-"),
    _column("aclitem", "=r/pg_monitor"),
    _column("refcursor", "a cursor"),
    _column("tid", "(0,1)", "(4294967295,65535)"),
    _column("pg_snapshot", "10:20:10,14,15"),
    _column("txid_snapshot", "10:20:10,14,15"),
    _column("int2vector", "", "1 2 3"),
    _column("oidvector", "", "1 2 3"),
    # what the server alone makes; it takes no text for them
    Column("pg_node_tree", ("(select ev_action from pg_rewrite limit 1)",)),
    Column("pg_ndistinct", ("(select stxdndistinct from pg_statistic_ext_data)",), setup=_STATISTICS),
    Column("pg_dependencies", ("(select stxddependencies from pg_statistic_ext_data)",)),
    Column("pg_mcv_list", ("(select stxdmcv from pg_statistic_ext_data)",)),
    *(Column(kind, ("null",)) for kind in ("gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary")),
    Column("xml", ("null",)),  # not every build of the server takes values for it
    # domains of the information schema
    _column("information_schema.cardinal_number", "0", "2147483647"),
    _column("information_schema.character_data", "a"),
    _column("information_schema.sql_identifier", "a"),
    _column("information_schema.time_stamp", "2026-03-29 01:30:15.12"),
    _column("information_schema.yes_or_no", "YES"),
    # what is made of them
    _column("integer[]", "{}", "{1,NULL,3}", "{{1,2},{3,4}}"),
    _column("text[]", "{}", '{a,NULL,"b,c","NULL"}'),
    _column("date[]", "{2026-01-01,NULL,infinity,0044-03-15 BC}"),
    _column("interval[]", "{1 day,1 mon}"),
    _column("numeric[]", "{1.50,NaN,Infinity}"),
    _column("money[]", "{1.50}"),
    _column("jsonb[]", '{"{\\"a\\": 1}",NULL,null,"null"}', '{"[1, 2]","[3]","\\"1\\"","[]"}', "{}"),
    _column("json[]", '{"[[1], [2]]"}'),
    _column("domain_of_json", *_DOCUMENTS, setup=("create domain domain_of_json as json",)),
    _column("domain_of_json[]", '{"[1, 2]","[3]"}'),
    _column("tstzrange[]", '{"[-infinity,infinity)",empty}'),
    _column("mood", "sad", "happy", setup=("create type mood as enum ('sad', 'happy')",)),
    _column("mood[]", "{sad,NULL}"),
    _column("positive", "7", setup=("create domain positive as integer check (value > 0)",)),
    _column(
        "stay",
        "(a,2026-01-01,sad)",
        "(,infinity,)",
        '("a b",0044-03-15 BC,happy)',
        setup=("create type stay as (guest text, arrival date, mood mood)",),
    ),
    _column("stay[]", '{"(a,2026-01-01,sad)","(,infinity,)"}'),
    _column("price", "(a,$1.00)", setup=("create type price as (name text, amount money)",)),
    _column("price[]", '{"(a,$1.00)",NULL}'),
    _column("pricerange", "[$1.00,$2.00)", setup=("create type pricerange as range (subtype = money)",)),
    _column("pricemultirange", "{[$1.00,$2.00)}"),
    Column("pg_class", ("(select c from pg_class c where relname = 'pg_class')",)),
    _column("floatrange", "[1.5,2.5)", setup=("create type floatrange as range (subtype = float8)",)),
    _column("floatmultirange", "{[1.5,2.5)}"),
    _column("lseg[]", '{"[(1,2),(3,4)]"}'),
    _column("box[]", "{(3,4),(1,2)}"),
    _column("path[]", '{"[(1,2),(3,4)]"}'),
    _column("polygon[]", '{"((1,2),(3,4),(5,6))"}'),
    _column("int4multirange[]", '{"{[1,5),[7,)}"}', '{"{}"}'),
    *(_column(f"{kind}multirange[]", '{"{}"}') for kind in ("int8", "num", "date", "ts", "tstz", "float")),
    # extensions
    _column("citext", "", "Text", setup=("create extension citext",)),
    _column("citext[]", "{Text,NULL}", '{"",x,"NULL","a b","c\\"d"}', '{{a,""},{"",b}}'),
    _column("hstore", "", '"a"=>"1", "b"=>NULL', setup=("create extension hstore",)),
    _column("ltree", "a.b.c", setup=("create extension ltree",)),
    _column("lquery", "a.*.c"),
    _column("ltxtquery", "a & b"),
    *(Column(kind, ("null",)) for kind in ("ghstore", "ltree_gist")),  # of their indexes
    _column("cube", "(1, 2, 3)", setup=("create extension cube",)),
)
