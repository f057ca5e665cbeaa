"""`:name` parameters: where they are, where they are not, and how they are bound."""

from __future__ import annotations

from typing import Any

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, bind, bind_call, compile_statement, expand

UNICODE = r"""select U&'\0441:a', U&"\0441:b" """

# Source, text for the driver, names.
POSTGRES_TEXTS = [
    ("select :a", "select $1", ("a",)),
    ("select :b, :a, :b", "select $1, $2, $1", ("b", "a")),
    ("select :a::int, x::text", "select $1::int, x::text", ("a",)),
    ("select ':a', \"x:a\", 'it''s :a'", "select ':a', \"x:a\", 'it''s :a'", ()),
    (r"select 'a\', :b, ' :c'", r"select 'a\', $1, ' :c'", ("b",)),
    (r"select E'a\' :b', :c", r"select E'a\' :b', $1", ("c",)),
    ("select E'a'\n  'b\\' :c', :d", "select E'a'\n  'b\\' :c', $1", ("d",)),
    ("select E'a' -- x\n 'b\\' :c', :d", "select E'a' -- x\n 'b\\' :c', $1", ("d",)),
    (UNICODE + ", :c", UNICODE + ", $1", ("c",)),
    ("select $$ :a $$, $t$ $$ :b $x$ $t$, :c", "select $$ :a $$, $t$ $$ :b $x$ $t$, $1", ("c",)),
    ("select a$b$c, :d, e$b$", "select a$b$c, $1, e$b$", ("d",)),
    ("select 1 -- :a\n, :b", "select 1 -- :a\n, $1", ("b",)),
    ("select /* :a /* :b */ :c */ :d", "select /* :a /* :b */ :c */ $1", ("d",)),
    ("select 5 @>--:a\n:b", "select 5 @>--:a\n$1", ("b",)),
    ("select f(a := :b, c =>:d)", "select f(a := $1, c =>$2)", ("b", "d")),
    ("select a[1:2], a[:n], a[1:n], a[1 :n]", "select a[1:2], a[$1], a[1:n], a[1 :n]", ("n",)),
    ("select a[(:x) :y]", "select a[($1) :y]", ("x",)),
    ("select a[:low : :high], a[:low::int]", "select a[$1 : $2], a[$1::int]", ("low", "high")),
    ("select json_object('k':v, 'l': :v)", "select json_object('k':v, 'l': $1)", ("v",)),
    ("select j->>:k, j #>> :p, j @> :m", "select j->>$1, j #>> $2, j @> $3", ("k", "p", "m")),
    ("select j ? 'x', j ?| :l, j ?& :m", "select j ? 'x', j ?| $1, j ?& $2", ("l", "m")),
    ("select time '12:30:00', '10:00'::time", "select time '12:30:00', '10:00'::time", ()),
    ("select distinct on (a) :b from t", "select distinct on (a) $1 from t", ("b",)),
    ("select case when:a then :b else:c end", "select case when$1 then $2 else$3 end", ("a", "b", "c")),
    ("select '%s', 10 % 3, 'a?'", "select '%s', 10 % 3, 'a?'", ()),
    ("select :größe, :_x1", "select $1, $2", ("größe", "_x1")),
    ("select :a;", "select $1;", ("a",)),
    ("select :a; -- done\n ;", "select $1; -- done\n ;", ("a",)),
    ("select x from t where id in :ids", "select x from t where id = any($1)", ("ids",)),
    ("select x from t where id NOT\n IN\t:ids", "select x from t where id <> all($1)", ("ids",)),
    ("select 1 where x in/*c*/:ids", "select 1 where x = any/*c*/($1)", ("ids",)),
    ("select 1 where x not --c\n in :ids", "select 1 where x <> all --c\n ($1)", ("ids",)),
    ("select 1 where x in :ids::bigint[]", "select 1 where x = any($1::bigint[])", ("ids",)),
    ("select 1 where x in :ids::numeric(9, 2) []", "select 1 where x = any($1::numeric(9, 2) [])", ("ids",)),
    ("select 1 where x in (:a, :b)", "select 1 where x in ($1, $2)", ("a", "b")),
    ("select position(:a in :b)", "select position($1 in $2)", ("a", "b")),
    ("select position('x' in (f(y in :b)))", "select position('x' in (f(y = any($1))))", ("b",)),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text", "names"), POSTGRES_TEXTS)
def test_postgres_text_and_names(source: str, text: str, names: tuple[str, ...]) -> None:
    statement = compile_statement(source, Dialect.POSTGRES)
    assert (statement.text, statement.names) == (text, names)


MYSQL_TEXTS = [
    ("select :a, :b, :a", "select ?, ?, ?", ("a", "b", "a")),
    (r"""select 'a\' :b', "c\" :d", `e:f`, :g""", r"""select 'a\' :b', "c\" :d", `e:f`, ?""", ("g",)),
    ("select 1 # :a\n, :b", "select 1 # :a\n, ?", ("b",)),
    ("select 5--:a", "select 5--?", ("a",)),
    ("select 5 -- :a\n + :b", "select 5 -- :a\n + ?", ("b",)),
    ("select /* /* :a */ :b", "select /* /* :a */ ?", ("b",)),
    ("select /*!50000 :a, '*/' */ :b", "select /*!50000 :a, '*/' */ ?", ("b",)),
    ("select @x := :a, @y:=:b", "select @x := ?, @y:=?", ("a", "b")),
    ("select $$, :a, $$", "select $$, ?, $$", ("a",)),
    ("select `a``b:c`, 'd''e:f', :g", "select `a``b:c`, 'd''e:f', ?", ("g",)),
]


@pytest.mark.parametrize(("source", "text", "names"), MYSQL_TEXTS)
def test_mysql_text_and_names(source: str, text: str, names: tuple[str, ...]) -> None:
    statement = compile_statement(source, Dialect.MYSQL)
    assert (statement.text, statement.names) == (text, names)


@pytest.mark.parametrize(
    ("source", "dialect", "says"),
    [
        ("", Dialect.POSTGRES, "empty"),
        (" -- nothing\n;;", Dialect.POSTGRES, "empty"),
        ("select 1; select 2", Dialect.POSTGRES, "several statements"),
        ("select 1;;select 2", Dialect.MYSQL, "several statements"),
        ("select $1", Dialect.POSTGRES, r"'\$1'.*write `:id`"),
        ("select ?", Dialect.MYSQL, r"'\?'.*write `:id`"),
        ("select 'a", Dialect.POSTGRES, "opens ' in line 1"),
        ('select\n"a', Dialect.POSTGRES, 'opens " in line 2'),
        ("select $t$ a $u$", Dialect.POSTGRES, r"opens \$t\$"),
        ("select /* /* */", Dialect.POSTGRES, r"opens /\*"),
        ("select /* ", Dialect.MYSQL, r"opens /\*"),
        (r"select 'a\'", Dialect.MYSQL, "opens '"),
        ("select `a", Dialect.MYSQL, "opens `"),
        ("select :a where x in :a", Dialect.MYSQL, "both as a list"),
    ],
)
def test_a_wrong_text_is_named(source: str, dialect: Dialect, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compile_statement(source, dialect)


@pytest.mark.parametrize(
    "source",
    [
        "create procedure p() begin select 1; select 2; end",
        "create function f() returns int language sql begin atomic select 1; select 2; end",
        "create rule r as on insert to t do also (delete from a; delete from b)",
        "do $$ begin perform 1; perform 2; end $$",
    ],
)
def test_semicolons_inside_one_statement_are_fine(source: str) -> None:
    assert compile_statement(source, Dialect.POSTGRES).text == source


def test_lists_are_named() -> None:
    source = "select 1 where a in :x and b not in :y and c = :z"
    assert compile_statement(source, Dialect.POSTGRES).lists == {"x", "y"}
    assert compile_statement(source, Dialect.MYSQL).lists == {"x", "y"}


def test_bind_orders_values_by_first_use() -> None:
    statement = compile_statement("select :b, :a, :b", Dialect.POSTGRES)
    assert bind(statement, {"a": 1, "b": 2}) == ("select $1, $2, $1", [2, 1])


def test_bind_repeats_values_on_mysql() -> None:
    statement = compile_statement("select :b, :a, :b", Dialect.MYSQL)
    assert bind(statement, {"a": 1, "b": 2}) == ("select ?, ?, ?", [2, 1, 2])


def test_bind_gives_postgres_one_array() -> None:
    statement = compile_statement("select 1 where a in :ids and b = :b", Dialect.POSTGRES)
    assert bind(statement, {"b": 9, "ids": (1, 2)}) == (statement.text, [[1, 2], 9])


def test_bind_expands_lists_on_mysql() -> None:
    statement = compile_statement("select 1 where a in :ids and b = :b and c not in :ids", Dialect.MYSQL)
    text, arguments = bind(statement, {"b": 9, "ids": (1, 2)})
    assert text == "select 1 where a in (?, ?) and b = ? and c not in (?, ?)"
    assert arguments == [1, 2, 9, 1, 2]


def test_empty_list_stays_valid_on_mysql() -> None:
    statement = compile_statement("select 1 where a in :ids", Dialect.MYSQL)
    assert bind(statement, {"ids": []}) == ("select 1 where a in (select 1 from dual where 1 = 0)", [])


def test_expand_in_format_style_doubles_percent_signs() -> None:
    statement = compile_statement("select '50%' % :a where b in :ids", Dialect.MYSQL)
    assert expand(statement, {"ids": 2}, "%s") == "select '50%%' %% %s where b in (%s, %s)"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": 1}, "needs a value for :b; its parameters are: :a, :b"),
        ({"a": 1, "c": 2}, "needs a value for :b and has no parameter 'c'"),
        ({"a": 1, "b": 2, "c": 3}, "has no parameter 'c'"),
    ],
)
def test_bind_names_what_is_missing_or_unknown(values: dict[str, int], says: str) -> None:
    for dialect in Dialect:
        with pytest.raises(ConfigError, match=says):
            bind(compile_statement("select :a, :b, :a", dialect), values)


@pytest.mark.parametrize("value", ["abc", b"abc", 7, None, {"a": 1}])
def test_a_list_parameter_wants_a_list(value: object) -> None:
    statement = compile_statement("select 1 where a in :ids", Dialect.POSTGRES)
    with pytest.raises(ConfigError, match="'ids' is used as `in :ids`: give a list"):
        bind(statement, {"ids": value})


@pytest.mark.parametrize("dialect", Dialect)
def test_a_long_text_compiles(dialect: Dialect) -> None:
    rows = ", ".join(f"(:a{n}, 'it''s', -- {n}\n $${n}$$)" for n in range(5000))
    statement = compile_statement(f"insert into t values {rows}", dialect)
    assert len(statement.names) == 5000
    many = " or ".join(f"a in :l{n}" for n in range(5000))
    assert len(compile_statement(f"select 1 where {many}", dialect).lists) == 5000


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        ("select * from users where id = ?", "?"),
        ("select * from users where id = ? and name = 'x'", "?"),
        ("insert into users values (?, ?)", "?"),
        ("select ? + 1", "?"),
        ("select * from users limit ?", "?"),
        ("select * from users where id = %s", "%s"),
        ("insert into users values (%s, %s)", "%s"),
        ("select * from users where id = %(id)s", "%(…)s"),
    ],
)
def test_the_placeholders_of_other_drivers_are_refused_with_ours(dialect: Dialect, text: str, placeholder: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_statement(text, dialect)
    assert f"placeholder {placeholder!r}: write `:id` instead" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "select data ? 'key' from t",
        "select data ? :key from t",
        "select data ?| array['a'] from t where data ?& :keys",
        "select data @? '$.a' from t",
        "select data ? name from t",
        "select data ? (select 'x') from t",
        "select 7 % 2, a %s from t",
        "select (a) % (b) from t",
        "select name % :word from t",
    ],
)
def test_operators_that_look_like_placeholders_stay(text: str) -> None:
    assert compile_statement(text, Dialect.POSTGRES).source == text


def test_dividing_is_no_placeholder_on_mysql() -> None:
    for text in (
        "select 7 % 2",
        "select a %s from t",
        "select (a) % (b) from t",
        "select '100 %s', \"%s\", `%s` from t",
    ):
        assert compile_statement(text, Dialect.MYSQL).source == text


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_list_in_parentheses_is_refused_with_the_form_that_takes_it(dialect: Dialect) -> None:
    statement = compile_statement("select * from t where id in (:ids)", dialect)
    for value in ([1, 2], (1, 2), {1, 2}):
        with pytest.raises(ConfigError, match=r"parameter 'ids' is a \w+ and stands in parentheses: write `in :ids`"):
            bind(statement, {"ids": value})
    assert bind(statement, {"ids": 7})[1] == [7]
    assert bind(compile_statement("select * from t where id in (:a, :b)", dialect), {"a": 1, "b": 2})[1] == [1, 2]


@pytest.mark.parametrize("given", [1, "x", [1], (1, 2), object(), b"x"])
def test_parameters_by_position_are_refused_with_the_form_by_name(given: Any) -> None:
    statement = compile_statement("select :id", Dialect.POSTGRES)
    with pytest.raises(
        ConfigError, match=rf"of type {type(given).__name__}: write `:id` .* as in fetch_one\(sql, id=7\)"
    ):
        bind_call(statement, given, {})
