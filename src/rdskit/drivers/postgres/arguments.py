"""Refuse or convert arguments that asyncpg would change while it encodes them.

asyncpg calls ``int()`` and ``float()`` on every value that offers them, so that 2.6 becomes 2 in an integer column. It
writes a float into ``numeric`` with all digits of its binary fraction. The rules here depend on the parameter's type.
Dates and times have their rules in their codecs (``postgres.values``).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Protocol

from asyncpg import Range, Record

from rdskit.errors import StatementError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Types = Mapping[int, Any]
"""By oid, the rows of asyncpg's introspection of composed types: arrays, ranges, domains, composites."""

RULELESS: Final = object()
"""Marks a type with a codec of the application's: the codec alone decides which values it accepts."""

#: Lower oids are built-in types (transam.h, FirstNormalObjectId).
FIRST_USER_OID: Final = 16_384
_NONE: Final = type(None)
_MOST_KINDS: Final = 64
"""Combinations of argument types that a statement caches as needing no conversion."""


class Rule(Protocol):
    """The values that parameters of one type accept.

    Attributes:
        plain: exact Python types whose every value asyncpg sends unchanged, or refuses by itself.
    """

    plain: frozenset[type]

    def convert(self, value: Any) -> Any:
        """Return what to send for a value of another type.

        Raises:
            TypeError: it has no exact counterpart.
        """
        ...

    def fits(self, values: Sequence[Any]) -> bool:
        """Return whether every value of a column may be sent unchanged; False where only `convert` can decide."""
        ...


def _sum_has_type(values: Sequence[Any], kinds: frozenset[type]) -> bool:
    """Return whether the sum of the values has one of these types.

    A sum runs in C and costs half of a check of each value's type. A value of another type changes the type of the sum.
    """
    try:
        return type(sum(values)) in kinds
    except (TypeError, ArithmeticError):
        return False


class _Whole:
    """Accept integers, and floats and Decimals without a fraction."""

    plain: frozenset[type] = frozenset({int, bool, _NONE})
    _sums: Final = frozenset({int})

    def fits(self, values: Sequence[Any]) -> bool:
        return _sum_has_type(values, self._sums) or self.plain.issuperset(map(type, values))

    def convert(self, value: Any) -> Any:
        if isinstance(value, float | Decimal):
            if not math.isfinite(value) or value != int(value):
                raise TypeError(f"a {type(value).__name__} with a fraction would be cut: round it first")
            return int(value)
        try:
            return operator.index(value)
        except TypeError:
            raise TypeError(f"expected an int, got {type(value).__name__}") from None


class _Exact:
    """Accept values for ``numeric``: a float is sent as its shortest text, as on MySQL and MariaDB."""

    plain: frozenset[type] = frozenset({int, bool, _NONE})
    _LARGEST: Final = 131_071  # digits before the decimal point; asyncpg writes the exponent modulo 2¹⁶

    def fits(self, values: Sequence[Any]) -> bool:
        kinds = set(map(type, values))
        if not kinds <= self.plain | {Decimal}:
            return False
        return Decimal not in kinds or max(_exponents(values)) <= self._LARGEST

    def convert(self, value: Any) -> Any:
        if isinstance(value, float):
            value = Decimal(repr(float(value)))
        elif isinstance(value, str):
            try:
                value = Decimal(value)
            except InvalidOperation:
                raise TypeError("the text is not a number") from None
        elif not isinstance(value, Decimal):
            try:
                return operator.index(value)
            except TypeError:
                raise TypeError(f"expected a Decimal, int or float, got {type(value).__name__}") from None
        if value.is_finite() and value.adjusted() > self._LARGEST:
            raise TypeError("the number is too large for numeric")
        return value


def _exponents(values: Sequence[Any]) -> Iterator[int]:
    return (value.adjusted() for value in values if type(value) is Decimal)


class _Nearest:
    """Accept values for ``real`` and ``double precision``: the nearest float, but no infinity for a finite number."""

    plain: frozenset[type] = frozenset({float, int, bool, _NONE})
    _sums: Final = frozenset({float, int})

    def fits(self, values: Sequence[Any]) -> bool:
        return _sum_has_type(values, self._sums) or self.plain.issuperset(map(type, values))

    def convert(self, value: Any) -> Any:
        if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
            raise TypeError(f"expected a float, got {type(value).__name__}")
        nearest = float(value)
        if math.isinf(nearest) and (not isinstance(value, Decimal) or value.is_finite()):
            raise TypeError("the number is too large for a float")
        return nearest


class _Nested:
    """Accept values of composed types, whose parts must be checked."""

    plain: frozenset[type] = frozenset({_NONE})

    def fits(self, values: Sequence[Any]) -> bool:
        return self.plain.issuperset(map(type, values))


class _Items(_Nested):
    """Convert the elements of arrays and multiranges."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._kinds = rule.plain | {_NONE}

    def convert(self, value: Any) -> Any:
        if not isinstance(value, list | tuple | set | frozenset) or self._kinds.issuperset(map(type, value)):
            return value
        return [
            self.convert(each) if isinstance(each, list) else each if each is None else self._rule.convert(each)
            for each in value
        ]


class _Bounds(_Nested):
    """Convert the bounds of ranges."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def convert(self, value: Any) -> Any:
        if isinstance(value, Range):
            lower, upper = self._bound(value.lower), self._bound(value.upper)
            return Range(lower, upper, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)
        return tuple(map(self._bound, value)) if isinstance(value, list | tuple) else value

    def _bound(self, value: Any) -> Any:
        return value if type(value) in self._rule.plain else self._rule.convert(value)


class _Fields(_Nested):
    """Convert the fields of composite values: a tuple, a mapping or a row of a result."""

    def __init__(self, rules: dict[str, Rule | None]) -> None:
        self._rules = rules

    def convert(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            value = [value.get(name) for name in self._rules] if value.keys() <= self._rules.keys() else value
        if isinstance(value, Mapping) or not isinstance(value, list | tuple | Record):
            return value  # asyncpg raises an error that names the unknown field
        fields = tuple(value)
        if len(fields) != len(self._rules):
            raise TypeError(f"the type has {len(self._rules)} fields, and {len(fields)} are given")
        return tuple(map(_converted, self._rules.values(), fields))


class _Unwritable(_Nested):
    """Refuse arrays whose elements are lists in Python: asyncpg reads those as another dimension."""

    def convert(self, value: Any) -> Any:  # noqa: ARG002 - no value can be sent
        raise TypeError(
            "its elements would be taken for another dimension: pass the array's text, as in :v::text::box[]"
        )


def _converted(rule: Rule | None, value: Any) -> Any:
    return value if rule is None or type(value) in rule.plain else rule.convert(value)


_WHOLE, _EXACT, _NEAREST, _UNWRITABLE = _Whole(), _Exact(), _Nearest(), _Unwritable()
# By the oids of pg_type.dat, which never change: int8, int2, int4, oid, xid, cid, pg_lsn, xid8; numeric; floats; arrays
# of lseg, path, box, polygon and of multiranges.
_RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys((20, 21, 23, 26, 28, 29, 3220, 5069), _WHOLE),
    1700: _EXACT,
    700: _NEAREST,
    701: _NEAREST,
    **dict.fromkeys((1018, 1019, 1020, 1027, 6150, 6151, 6152, 6153, 6155, 6157), _UNWRITABLE),
    1028: _Items(_WHOLE),  # oid[]: built into asyncpg, so introspection never reports it
}


def rule_for(oid: int, types: Types) -> Rule | None:
    """Return the rule for a type; None if asyncpg sends every value of it unchanged."""
    found = types.get(oid)
    if oid in _RULES and found is not RULELESS:
        return _RULES[oid]
    if found is None or found is RULELESS:
        return None
    if found["attrtypoids"]:
        fields = {
            name: rule_for(kind, types) for name, kind in zip(found["attrnames"], found["attrtypoids"], strict=True)
        }
        return _Fields(fields)
    element = types.get(found["elemtype"])
    if element is not None and element is not RULELESS and element["kind"] == b"m":
        return _UNWRITABLE
    inner = rule_for(found["elemtype"] or found["range_subtype"] or found["basetype"] or 0, types)
    return None if inner is None else _around(inner, found)


def _around(inner: Rule, found: Any) -> Rule:
    if found["elemtype"]:
        return _Items(inner)
    if found["kind"] == b"d":
        return inner
    return _Items(_Bounds(inner)) if found["kind"] == b"m" else _Bounds(inner)


class Parameters:
    """Convert the arguments of one statement, for parameters that have rules.

    Attributes:
        fitting: combinations of argument types whose values need no check.
    """

    __slots__ = ("_names", "_rules", "fitting")

    def __init__(self, rules: Sequence[Rule | None], names: Sequence[str]) -> None:
        self._rules = rules
        self._names = names
        self.fitting: set[tuple[type, ...]] = set()

    def converted(self, args: Sequence[Any]) -> Sequence[Any]:
        """Return the arguments converted for sending.

        Raises:
            DriverError: one of them has no exact counterpart.
        """
        kinds = tuple(map(type, args))
        if kinds in self.fitting or len(args) != len(self._rules):  # asyncpg reports a wrong number
            return args
        if all(rule is None or kind in rule.plain for rule, kind in zip(self._rules, kinds, strict=True)):
            if len(self.fitting) < _MOST_KINDS:
                self.fitting.add(kinds)
            return args
        return [self._one(place, value) for place, value in enumerate(args)]

    def _one(self, place: int, value: Any) -> Any:
        try:
            return _converted(self._rules[place], value)
        except TypeError as error:
            message = f"argument {place + 1} of type {self._names[place]} cannot be sent: {error}"
            raise DriverError(Failure.REFUSED, StatementError(message)) from error


def parameters_of(kinds: Iterable[Any], types: Types) -> Parameters | None:
    """Return the converter of a statement's arguments, from asyncpg's parameter types; None if no type has a rule."""
    described = list(kinds)
    rules = [rule_for(kind.oid, types) for kind in described]
    return None if not any(rules) else Parameters(rules, [kind.name for kind in described])


class Columns:
    """Convert rows for COPY, in the columns whose types have rules."""

    def __init__(self, rules: Sequence[Rule | None]) -> None:
        self._ruled = [
            (place, rule, operator.itemgetter(place)) for place, rule in enumerate(rules) if rule is not None
        ]

    def converted(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return rows converted for sending; a column that needs no change costs only a check of its types.

        Raises:
            UnfitError: a value has no exact counterpart.
        """
        wrong = [(place, rule) for place, rule, value in self._ruled if not rule.fits(list(map(value, rows)))]
        if not wrong:
            return rows
        changed = [list(row) for row in rows]
        for place, rule in wrong:
            for number, row in enumerate(changed):
                try:
                    row[place] = _converted(rule, row[place])
                except TypeError as error:
                    raise UnfitError(number, place, error) from error
        return changed


class UnfitError(Exception):
    """A value of a row has no exact counterpart in its column.

    Attributes:
        number: the row's number in its batch, from 0.
        place: the column's place.
        reason: the refusal.
    """

    def __init__(self, number: int, place: int, reason: TypeError) -> None:
        super().__init__(str(reason))
        self.number = number
        self.place = place
        self.reason = reason
