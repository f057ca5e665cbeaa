"""Convert rows to the caller's own types: ``into=User``.

The conversion is built once per type and list of columns. msgspec and pydantic are optional: a caller that passes one
of their types has imported them.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, is_typeddict

from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rdskit.kernel.ports import Row

T = TypeVar("T")
Columns = tuple[str, ...]


class _Fields(NamedTuple):
    """The fields of a type, by the column names that they take."""

    names: tuple[str, ...]
    required: frozenset[str]
    takes_others: bool = False


def into_one(row: Row | None, kind: type[T]) -> T | None:
    """Convert a row to a type; return None if there is no row.

    Raises:
        ConfigError: rows cannot be converted to this type, or not with these columns.
    """
    if row is None:
        return None
    value: T = _conversion(kind, tuple(row.keys()))(row)
    return value


def into_value(row: Row | None, kind: type[T]) -> T | None:
    """Return the first column of a row, and check its type without converting it; None for no row or NULL.

    Raises:
        ConfigError: the value is of another type.
    """
    if row is None or row[0] is None:
        return None
    value = row[0]
    try:
        if isinstance(value, kind):
            return value
    except TypeError:  # not a type for isinstance, such as a number or list[int]
        raise ConfigError("into= of fetch_value takes a type of one value, such as int, str or Decimal") from None
    raise ConfigError(
        f"into={kind.__name__} does not fit the value, which is of type {type(value).__name__}: name that type, or "
        "cast the column in SQL"
    )


def into_all(rows: Sequence[Row], kind: type[T] | None) -> list[T]:
    """Convert each row to a type; return the rows themselves for None.

    Raises:
        ConfigError: as for ``into_one``.
    """
    # Without rows the columns are unknown, so a type that does not fit is not noticed.
    if kind is None or not rows:
        return rows  # type: ignore[return-value]  # without a type, T is the row itself
    return list(map(_conversion(kind, tuple(rows[0].keys())), rows))


def _conversion(kind: Any, columns: Columns) -> Callable[[Row], Any]:
    if not isinstance(kind, type):
        raise _not_made_of_rows(kind)
    return _converter(cast("Any", kind), columns)


@functools.lru_cache(maxsize=512)
def _converter(kind: Any, columns: Columns) -> Callable[[Row], Any]:
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ConfigError(
            f"column {twice!r} occurs twice, so into={kind.__name__} is ambiguous: rename one of them with AS"
        )
    for is_kind, make in _KINDS:
        if is_kind(kind):
            return make(kind, columns)
    raise _not_made_of_rows(kind)


def _not_made_of_rows(kind: Any) -> ConfigError:
    name = kind.__name__ if isinstance(kind, type) else f"{type(kind).__name__} object"
    return ConfigError(
        f"into= cannot convert rows to a {name}: give a dataclass, a msgspec.Struct, a pydantic model, a NamedTuple, "
        "a TypedDict or dict"
    )


def _require_match(kind: type[Any], columns: Columns, fields: _Fields) -> None:
    lacking = sorted(fields.required.difference(columns))
    more = [] if fields.takes_others else [name for name in columns if name not in fields.names]
    faults = [f"no column for its field {name!r}" for name in lacking] + [
        f"no field for column {name!r}" for name in more
    ]
    if faults:
        raise ConfigError(
            f"into={kind.__name__} does not fit the rows: {', '.join(faults)}; the columns are: {', '.join(columns)}"
        )


# -- dataclasses and named tuples --------------------------------------------------------------------------------------


def _dataclass(kind: type[Any], columns: Columns) -> Callable[[Row], Any]:
    fields = [field for field in dataclasses.fields(kind) if field.init]
    required = [each for each in fields if dataclasses.MISSING is each.default is each.default_factory]
    names = tuple(field.name for field in fields)
    _require_match(kind, columns, _Fields(names, frozenset(field.name for field in required)))
    positional = tuple(field.name for field in fields if not field.kw_only)
    # Positional arguments are faster than keywords. They work if the columns are the first fields, in any order.
    if set(positional[: len(columns)]) == set(columns):
        return _by_position(kind, columns, positional[: len(columns)])
    return lambda row: kind(**dict(zip(columns, row, strict=True)))


def _named_tuple(kind: type[Any], columns: Columns) -> Callable[[Row], Any]:
    names = kind._fields
    required = frozenset(names) - kind._field_defaults.keys()
    _require_match(kind, columns, _Fields(names, required))
    if set(names[: len(columns)]) == set(columns):
        return _by_position(kind, columns, names[: len(columns)])
    return lambda row: kind(**dict(zip(columns, row, strict=True)))


def _by_position(kind: type[Any], columns: Columns, order: Columns) -> Callable[[Row], Any]:
    if columns == order:
        return lambda row: kind(*row)
    if len(order) == 1:
        return lambda row: kind(row[0])
    in_order = operator.itemgetter(*(columns.index(name) for name in order))
    return lambda row: kind(*in_order(row))


# -- dictionaries ------------------------------------------------------------------------------------------------------


def _dict(_: type[Any], columns: Columns) -> Callable[[Row], Any]:
    return lambda row: dict(zip(columns, row, strict=True))


def _typed_dict(kind: type[Any], columns: Columns) -> Callable[[Row], Any]:
    names = tuple(kind.__annotations__)
    _require_match(kind, columns, _Fields(names, kind.__required_keys__))
    return _dict(kind, columns)


# -- msgspec and pydantic ----------------------------------------------------------------------------------------------


def _struct(kind: type[Any], columns: Columns) -> Callable[[Row], Any]:
    import msgspec  # noqa: PLC0415 - an extra of the caller's, who has it

    fields = msgspec.structs.fields(kind)
    required = frozenset(field.encode_name for field in fields if field.required)
    _require_match(kind, columns, _Fields(tuple(field.encode_name for field in fields), required))

    def convert(row: Row) -> Any:
        try:
            return msgspec.convert(dict(zip(columns, row, strict=True)), kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"into={kind.__name__} does not fit a row: {error}") from error

    return convert


def _model(kind: type[Any], columns: Columns) -> Callable[[Row], Any]:
    import pydantic  # noqa: PLC0415 - an extra of the caller's, who has it

    _require_match(kind, columns, _model_fields(kind))

    def convert(row: Row) -> Any:
        try:
            return kind.model_validate(dict(zip(columns, row, strict=True)))
        except pydantic.ValidationError as error:
            raise ConfigError(f"into={kind.__name__} does not fit a row: {_without_values(error)}") from error

    return convert


def _model_fields(kind: Any) -> _Fields:
    names: list[str] = []
    required = set()
    for name, field in kind.model_fields.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        names += [alias] if alias else [name]
        if field.is_required():
            required.add(alias or name)
    return _Fields(tuple(names), frozenset(required), takes_others=kind.model_config.get("extra") == "allow")


def _without_values(error: Any) -> str:
    """Return the fields with their errors; pydantic's own text would repeat the row's values."""
    details: Iterable[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in details)


def _is_subclass_of(kind: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(kind, type) and issubclass(kind, getattr(loaded, name))


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[type[Any], Columns], Callable[[Row], Any]]], ...] = (
    (dataclasses.is_dataclass, _dataclass),
    (lambda kind: _is_subclass_of(kind, "msgspec", "Struct"), _struct),
    (lambda kind: _is_subclass_of(kind, "pydantic", "BaseModel"), _model),
    (is_typeddict, _typed_dict),
    (lambda kind: isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"), _named_tuple),
    (lambda kind: kind is dict, _dict),
)
