"""Check the types of public arguments, so that a wrong type is reported by name instead of being misread later.

In Python a ``bool`` is an ``int``, and a text such as ``"no"`` is true. A caller means neither, so both are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rdskit.errors import ConfigError

_MOST: Final = 2**31 - 1
_SHOWN_CHARACTERS: Final = 40  # characters of a value in a message


def wrong(name: str, value: object, next_step: str) -> ConfigError:
    """Return the error for a value of a wrong type: the argument, the value, the next step.

    Args:
        name: the argument, as the caller writes it.
        value: the value; only a short text, a number, True, False or None is quoted.
        next_step: what to pass instead.
    """
    shown = f"={value!r}" if isinstance(value, str | int | float | None) else "="
    text = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
    return ConfigError(f"{name}{text} is of type {type(value).__name__}: {next_step}")


def require_seconds(name: str, value: Any, *, or_none: bool = True) -> Any:
    """Return the value if it is a number of seconds.

    Raises:
        ConfigError: it is not.
    """
    if value is None and or_none:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        limit = ", or None for no limit" if or_none else ""
        raise wrong(name, value, f"give seconds as a number, as in {name}=3{limit}")
    return value


def require_whole(name: str, value: Any, *, least: int = 0) -> int:
    """Return the value if it is a whole number.

    Raises:
        ConfigError: it is not, or it is below ``least``, or it exceeds 32 bits, the limit of the protocols.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, value, f"give a whole number, as in {name}=10")
    if value < least:
        raise ConfigError(f"{name}={value} is too small: give {least} or more")
    if value > _MOST:
        raise ConfigError(f"{name}= is too large: give {_MOST} at most")
    return value


def require_text(name: str, value: Any, *, or_none: bool = False, example: str = "") -> Any:
    """Return the value if it is a text.

    Args:
        name: the argument.
        value: its value.
        or_none: whether None is accepted too.
        example: an example for the error message.

    Raises:
        ConfigError: it is not a text.
    """
    if isinstance(value, str) or (value is None and or_none):
        return value
    raise wrong(name, value, f"give a str{f', as in {name}={example!r}' if example else ''}")


def require_flag(name: str, value: Any, *, or_none: bool = False) -> Any:
    """Return the value if it is True or False, or None where that is allowed.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, bool) or (value is None and or_none):
        return value
    raise wrong(name, value, f"give True or False{' or None' if or_none else ''}")


def require_function(name: str, value: Any) -> Callable[..., Any]:
    """Return the value if it is callable.

    Raises:
        ConfigError: it is not.
    """
    if not callable(value):
        raise wrong(name, value, "give a function")
    return value  # type: ignore[no-any-return]  # callable() narrows to no signature


def require_texts(name: str, value: Any) -> tuple[str, ...]:
    """Return one text or several texts as a tuple.

    Raises:
        ConfigError: an item is not a text.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise wrong(name, value, "give a str, or a list of them")
    return tuple(require_text(f"{name}[…]", each) for each in value)


def call_arguments(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of a closure, checked.

    Raises:
        ConfigError: they are not a tuple, or not a dictionary with text keys.
    """
    if not isinstance(args, tuple | list):
        raise wrong("args", args, "give the closure's positional arguments as a tuple, as in args=(1, 2)")
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)):
        raise wrong("kwargs", kwargs, "give the closure's keyword arguments as a dict, as in kwargs={'amount': 5}")
    return tuple(args), dict(kwargs or {})
