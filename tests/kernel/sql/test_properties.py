"""Generated SQL against two independent references: how it was built, and a scanner that only knows quotes."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, compile_statement
from rdskit.kernel.sql.tokens import TokenType, tokenize

# What would be misread if a quote or comment were not recognised.
CONTENT = st.lists(
    st.sampled_from(
        [":a", ":b1", "'", '"', "`", "\\", "$$", "$t$", "--", "/*", "*/", "#", ";", "?", "$1", "%s", " ", "é"]
    ),
    max_size=8,
).map("".join)
NAME = st.sampled_from(["a", "b1", "_c", "Größe"])


def _block(content: str) -> str:
    return f"/*{content.replace('/*', '').replace('*/', '')}*/"


CODE = st.sampled_from(["x", "1", "1.5", "x::int", "a[1:2]", "b[i:j]", "f(x := 1)", "j -> 'k'", "10 % 3", "x - -1"])
PARAMETER = NAME.map(lambda name: f":{name}")
QUOTED = {
    Dialect.POSTGRES: st.one_of(
        CONTENT.map(lambda c: "'" + c.replace("'", "''") + "'"),
        CONTENT.map(lambda c: "E'" + c.replace("\\", "\\\\").replace("'", "\\'") + "'"),
        CONTENT.map(lambda c: '"' + c.replace('"', '""') + '"'),
        CONTENT.map(lambda c: f"$q${c}$q$"),
        CONTENT.map(lambda c: "--" + c + "\n"),
        CONTENT.map(_block),
        CONTENT.map(lambda c: f"/* {_block(c)} {_block(c)} */"),
    ),
    Dialect.MYSQL: st.one_of(
        CONTENT.map(lambda c: "'" + c.replace("\\", "\\\\").replace("'", "''") + "'"),
        CONTENT.map(lambda c: '"' + c.replace("\\", "\\\\").replace('"', '\\"') + '"'),
        CONTENT.map(lambda c: "`" + c.replace("`", "``") + "`"),
        CONTENT.map(lambda c: "# " + c + "\n"),
        CONTENT.map(lambda c: "-- " + c + "\n"),
        CONTENT.map(_block),
    ),
}
DIALECTS = st.sampled_from(Dialect)


@given(st.data())
def test_parameters_are_those_that_were_put_in(data: st.DataObject) -> None:
    dialect = data.draw(DIALECTS)
    pieces = data.draw(st.lists(st.one_of(QUOTED[dialect], PARAMETER, CODE), min_size=1, max_size=12))
    put_in = [piece[1:] for piece in pieces if piece.startswith(":")]
    source = "select " + " , ".join(pieces)
    statement = compile_statement(source, dialect)
    expected = dict.fromkeys(put_in) if dialect is Dialect.POSTGRES else put_in
    assert statement.names == tuple(expected)
    assert _put_back(statement.pieces, put_in) == source


def _put_back(pieces: tuple[str, ...], names: list[str]) -> str:
    assert len(pieces) == len(names) + 1
    return pieces[0] + "".join(f":{name}{piece}" for name, piece in zip(names, pieces[1:], strict=True))


@given(
    DIALECTS,
    st.sampled_from(["in", "IN", "not in", "Not  In", "not/**/in"]),
    st.sampled_from([" ", "\n", " -- x\n", "/*:b*/"]),
)
def test_a_list_is_written_back_as_its_operator(dialect: Dialect, operator: str, gap: str) -> None:
    statement = compile_statement(f"select 1 where x {operator}{gap}:ids and y = 2", dialect)
    assert statement.lists == {"ids"}
    start, end = statement.pieces
    assert start.startswith("select 1 where x ")
    assert start.endswith("(")
    assert end == ") and y = 2"


SOUP = st.text(alphabet="'\"`$:ab1_\\-/*#eE!? \n,=()[];t", max_size=40)


@given(DIALECTS, SOUP)
def test_tokens_cover_the_source(dialect: Dialect, source: str) -> None:
    try:
        tokens = tokenize(source, dialect)
    except ConfigError:
        return
    assert "".join(token.text for token in tokens) == source
    assert [token.start for token in tokens] == [
        sum(map(len, [t.text for t in tokens[:i]])) for i in range(len(tokens))
    ]


@given(SOUP)
def test_no_parameter_is_found_inside_a_literal_or_comment(source: str) -> None:
    quoted = _quoted_postgres(source)
    try:
        tokens = tokenize(source, Dialect.POSTGRES)
    except ConfigError:
        assert quoted is None
        return
    assert quoted is not None
    found = {token.start for token in tokens if token.type is TokenType.PARAMETER}
    assert not found & quoted
    assert found >= _certain(source, quoted)


def _certain(source: str, quoted: set[int]) -> set[int]:
    """Colons outside of quotes right after `,` or `=` and before a letter: parameters beyond doubt."""
    places = range(1, len(source) - 1)
    return {
        i
        for i in places
        if source[i] == ":"
        and source[i - 1] in ",="
        and source[i + 1] in string.ascii_letters
        and not {i, i - 1} & quoted
    }


def _quoted_postgres(source: str) -> set[int] | None:
    """Offsets inside literals and comments, character by character; None if one is not closed."""
    inside: set[int] = set()
    i = 0
    while i < len(source):
        end = _quoted_end(source, i)
        if end == -1:
            return None
        if end > i:
            inside.update(range(i, end))
        i = max(end, i + 1)
    return inside


def _quoted_end(source: str, i: int) -> int:
    """Return where what opens at ``i`` ends; ``i`` if nothing opens there, -1 if it has no end."""
    if source.startswith("--", i):
        return min((n for n in (source.find("\n", i),) if n >= 0), default=len(source))
    if source.startswith("/*", i):
        return _nested_end(source, i)
    if source[i] == '"':
        return source.find('"', i + 1) + 1 or -1
    if source[i] == "'":
        return _string_end(source, i)
    if source[i] == "$" and not _in_word(source, i):
        tag_end = source.find("$", i + 1)
        tag = source[i + 1 : tag_end]
        if tag_end > 0 and (not tag or (tag.isidentifier() and tag.isascii())):
            close = source.find(source[i : tag_end + 1], tag_end + 1)
            return close + len(tag) + 2 if close >= 0 else -1
    return i


def _in_word(source: str, i: int) -> bool:
    start = i
    while start and (source[start - 1].isalnum() or source[start - 1] in "_$"):
        start -= 1
    while start < i and not (source[start].isalpha() or source[start] == "_"):
        start += 1
    return start < i


def _nested_end(source: str, i: int) -> int:
    depth = 0
    while i < len(source):
        if source.startswith("/*", i):
            depth, i = depth + 1, i + 2
        elif source.startswith("*/", i):
            depth, i = depth - 1, i + 2
            if not depth:
                return i
        else:
            i += 1
    return -1


def _string_end(source: str, i: int) -> int:
    escapes = (
        source[i - 1 : i] in ("e", "E")
        and not _in_word(source, i - 1)
        and source[i - 2 : i - 1] not in tuple(string.digits)
    )
    j = i + 1
    while j < len(source):
        if source.startswith("''", j) or (escapes and source[j] == "\\"):
            j += 2
        elif source[j] == "'":
            return _continued(source, j + 1) if escapes else j + 1
        else:
            j += 1
    return -1


def _continued(source: str, j: int) -> int:
    """Return the end of an E'…' literal, which continues after space with a line break (line comments count)."""
    k, broken = j, False
    while k < len(source) and (source[k].isspace() or source.startswith("--", k)):
        if source.startswith("--", k):
            k = source.find("\n", k)
            if k < 0:
                return j
        broken = broken or source[k] == "\n"
        k += 1
    if broken and source.startswith("'", k):
        return _string_end_escaped(source, k)
    return j


def _string_end_escaped(source: str, k: int) -> int:
    end = _string_end("E" + source[k:], 1)
    return end + k - 1 if end >= 0 else -1
