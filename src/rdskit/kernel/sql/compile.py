"""Compile ``:name`` parameters: find them once, and write them in the server's style."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rdskit.errors import ConfigError
from rdskit.kernel.sql.bind import interleave
from rdskit.kernel.sql.effects import effect_of
from rdskit.kernel.sql.model import STYLES, Dialect, ParameterStyle, Statement
from rdskit.kernel.sql.tokens import BLANK, Token, TokenType, excerpt, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# `in :ids::bigint[]` casts the list, so the cast goes inside `= any(…)`.
_ARRAY_CAST = r"""(?xi) \s* :: \s* [\w".]+ (?: \s+ (?: precision | varying | with(?:out)? \s+ time \s+ zone) )?
    (?: \s* \( [\s\d,]* \) )? (?: \s* \[ [\s\d]* \] )+"""


_OPERATOR_PARTS = frozenset("|&@#~")
# Reserved words that cannot begin or end an operand.
_CLAUSES = frozenset(
    {
        *("all", "and", "any", "as", "asc", "between", "by", "case", "desc", "else", "end", "except", "fetch", "for"),
        *("from", "group", "having", "in", "intersect", "into", "is", "like", "limit", "not", "offset", "on", "or"),
        *("order", "returning", "select", "set", "then", "union", "using", "values", "when", "where", "window"),
    }
)


class _Use(NamedTuple):
    """One use of a parameter: ``source[start:end]`` becomes ``before``, the marker, and ``after``."""

    name: str
    start: int
    end: int
    before: str = ""
    after: str = ""

    @property
    def is_list(self) -> bool:
        return bool(self.after)


def compile_statement(
    source: str, dialect: Dialect, readable: frozenset[str] = frozenset(), style: ParameterStyle | None = None
) -> Statement:
    """Compile one SQL statement with ``:name`` parameters.

    ``in :ids`` and ``not in :ids`` take a list; ``in (:a, :b)`` takes values. Nothing inside quotes or comments is a
    parameter, and neither is a cast (``::``), an assignment (``:=``) or the colon of a slice or JSON constructor (see
    `tokenize`).

    Args:
        source: SQL text; one statement, a closing semicolon allowed.
        dialect: the server's dialect.
        readable: functions besides the built-in ones that are known to only read, as `function_name` returns them.
        style: the driver's parameter style; None for the dialect's own.

    Returns:
        The compiled statement.

    Raises:
        ConfigError: the text is empty, holds several statements, leaves a quote open, uses the server's own parameter
            syntax (``$1``, ``?``), or uses one name both as a list and as a value where lists are not arrays.
    """
    style = style or STYLES[dialect]
    tokens = tokenize(source, dialect)
    _require_one_statement(source, tokens, dialect)
    _refuse_positions(source, tokens)
    uses = list(_uses(source, tokens, style))
    pieces = _pieces(source, uses)
    used = [use.name for use in uses]
    names = tuple(dict.fromkeys(used)) if style is ParameterStyle.NUMBERED else tuple(used)
    lists = _lists(uses, style)
    alone = _alone(tokens)
    plain = not (lists or alone)
    effect = effect_of(tokens, dialect, readable)
    unknown = effect.unknown - readable
    return Statement(
        source=source,
        dialect=dialect,
        style=style,
        text=interleave(pieces, _markers(used, names, style)),
        names=names,
        parameters=frozenset(names),
        only=names[0] if len(names) == 1 and plain else "",
        lists=lists,
        alone=alone,
        plain=plain,
        kind=effect.kind,
        returns_rows=effect.returns_rows,
        dirties_session=effect.dirties_session,
        repeatable=effect.repeatable or bool(effect.unknown and not unknown),
        unknown=unknown,
        atomic=effect.atomic,
        changes_role=effect.changes_role,
        tables=effect.tables,
        pieces=pieces,
    )


def _uses(source: str, tokens: Sequence[Token], style: ParameterStyle) -> Iterator[_Use]:
    code: list[Token] = []
    openers: list[str] = []
    for token in tokens:
        if token.type in BLANK:
            continue
        if token.type is TokenType.OPEN:
            openers.append(code[-1].text.lower() if code else "")
        elif token.type is TokenType.CLOSE and openers:
            openers.pop()
        elif token.type is TokenType.PARAMETER:
            # `position(:part in :text)` is a function, not a list.
            listed = openers[-1:] != ["position"] and _is_word(code, -1, "in")
            yield _list_use(source, code, token, style) if listed else _Use(token.text[1:], token.start, token.end)
        code.append(token)


def _list_use(source: str, code: Sequence[Token], token: Token, style: ParameterStyle) -> _Use:
    negated = _is_word(code, -2, "not")
    keyword, name = code[-1], token.text[1:]
    cast = re.compile(_ARRAY_CAST).match(source, token.end)
    if style is not ParameterStyle.NUMBERED:
        if cast and style is ParameterStyle.NAMED:
            raise ConfigError(f"`in :{name}` is cast to an array, and this driver sends lists element by element: "
                              "leave the cast out, or cast the other side")  # fmt: skip
        return _Use(name, token.start, token.end, "(", ")")
    first = code[-2] if negated else keyword
    gap = source[first.end : keyword.start] if negated else ""
    comments = _comments(gap) + _comments(source[keyword.end : token.start])
    before = ("<> all" if negated else "= any") + comments + "("
    end = cast.end() if cast else token.end
    return _Use(name, first.start, end, before, source[token.end : end] + ")")


def _comments(gap: str) -> str:
    """Return the text between two words if it contains a comment, else an empty text."""
    return gap if gap.strip() else ""


def _is_word(code: Sequence[Token], index: int, word: str) -> bool:
    return len(code) >= -index and code[index].type is TokenType.WORD and code[index].text.lower() == word


def _pieces(source: str, uses: Sequence[_Use]) -> tuple[str, ...]:
    pieces = []
    tail, position = "", 0
    for use in uses:
        pieces.append(tail + source[position : use.start] + use.before)
        tail, position = use.after, use.end
    return (*pieces, tail + source[position:])


def _markers(used: Sequence[str], names: Sequence[str], style: ParameterStyle) -> Sequence[str]:
    if style is ParameterStyle.POSITIONAL:
        return ["?"] * len(used)
    if style is ParameterStyle.NAMED:
        return [f":{name}" for name in used]
    numbers = {name: f"${number}" for number, name in enumerate(names, start=1)}
    return [numbers[name] for name in used]


def _lists(uses: Sequence[_Use], style: ParameterStyle) -> frozenset[str]:
    lists = frozenset(use.name for use in uses if use.is_list)
    both = lists & {use.name for use in uses if not use.is_list}
    if both and style is not ParameterStyle.NUMBERED:
        name = min(both)
        raise ConfigError(f"parameter :{name} is used both as a list (`in :{name}`) and as a value: use two names")
    return lists


def _require_one_statement(source: str, tokens: Sequence[Token], dialect: Dialect) -> None:
    code = [token for token in tokens if token.type not in BLANK]
    if all(token.type is TokenType.SEMICOLON for token in code):
        raise ConfigError("the SQL text is empty: give one statement")
    if _defines_routine(code):
        return
    depth = 0
    ended = False
    for token in code:
        depth += (token.type is TokenType.OPEN) - (token.type is TokenType.CLOSE)
        if token.type is TokenType.SEMICOLON:
            ended = ended or depth <= 0
        elif ended:
            raise ConfigError(
                f"the {dialect.name} text holds several statements (a `;` before {token.text!r}): "
                f"send one statement a call, several in one transaction; SQL: {excerpt(source)}"
            )


def _defines_routine(code: Sequence[Token]) -> bool:
    """Return whether semicolons are part of the statement: ``create procedure … begin …; …; end``.

    The server checks the body.
    """
    words = [token.text.lower() for token in code if token.type is TokenType.WORD]
    routine = {"procedure", "function", "trigger", "event", "package"}
    return words[:1] == ["create"] and not routine.isdisjoint(words[:12]) and "begin" in words


def _alone(tokens: Sequence[Token]) -> frozenset[str]:
    """Return the names of parameters that stand alone in parentheses after IN."""
    code = [token for token in tokens if token.type not in BLANK]
    return frozenset(
        name.text[1:]
        for word, opening, name, closing in zip(code, code[1:], code[2:], code[3:], strict=False)
        if name.type is TokenType.PARAMETER
        and (opening.text, closing.text) == ("(", ")")
        and word.type is TokenType.WORD
        and word.text.lower() == "in"
    )


def _refuse_positions(source: str, tokens: Sequence[Token]) -> None:
    """Raise for the placeholder styles of servers and other drivers; the error names the supported style."""
    found = next((token.text for token in tokens if token.type is TokenType.POSITION), None)
    found = found or _foreign_placeholder([token for token in tokens if token.type is not TokenType.COMMENT])
    if found is not None:
        raise ConfigError(
            f"the SQL text has the placeholder {found!r}: write `:id` instead, and give its value by that name, as in "
            f"fetch_one(sql, id=7); SQL: {excerpt(source)}"
        )


def _foreign_placeholder(tokens: Sequence[Token]) -> str | None:
    """Return ``?``, ``%s`` or ``%(name)s`` where it cannot be an operator of PostgreSQL or MySQL.

    ``data ? 'key'`` is an operator between two operands, and ``a %s`` is a division. A placeholder has no operand on
    either side, or none after it.
    """
    for index, token in enumerate(tokens):
        if token.type is not TokenType.OPERATOR:
            continue
        before, after = tokens[max(0, index - 1)], tokens[index + 1] if index + 1 < len(tokens) else None
        if token.text == "?" and not _touches_operator(before, after) and not _begins_operand(tokens[index + 1 :]):
            return "?"
        if token.text == "%" and after is not None and not _ends_operand(tokens[:index]):
            if after.type is TokenType.WORD and after.text == "s":
                return "%s"
            if after.text == "(":
                return "%(…)s"
    return None


def _touches_operator(before: Token, after: Token | None) -> bool:
    """Return whether a ``?`` is a part of a longer operator: ``?|``, ``?&``, ``@?``."""
    return before.text in _OPERATOR_PARTS or (after is not None and after.text in _OPERATOR_PARTS)


def _begins_operand(tokens: Sequence[Token]) -> bool:
    first = next((token for token in tokens if token.type is not TokenType.SPACE), None)
    if first is None or first.type in {TokenType.CLOSE, TokenType.SEMICOLON, TokenType.OPERATOR}:
        return False
    return not (first.type is TokenType.WORD and first.text.lower() in _CLAUSES)


def _ends_operand(tokens: Sequence[Token]) -> bool:
    last = next((token for token in reversed(tokens) if token.type is not TokenType.SPACE), None)
    if last is None or last.type in {TokenType.OPEN, TokenType.OPERATOR}:
        return False
    return not (last.type is TokenType.WORD and last.text.lower() in _CLAUSES)
