"""Calls with one argument of a wrong type at a time, made from a function's signature."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rdskit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PATIENCE = 0.2  # seconds for the first item of something that may wait for ever


async def coroutine_function(*_: Any, **__: Any) -> int:
    """Do nothing."""
    return 1


#: Of a transaction, for the bulk calls of its session: what it takes was checked there.
INTERNAL = {"send_rows"}


def plain_function(*_: Any, **__: Any) -> int:
    """Do nothing."""
    return 1


async def failing(*_: Any, **__: Any) -> int:
    """End the transaction that it is called in, so that nothing stays of it."""
    raise Undone


class Undone(Exception):  # noqa: N818 - no error, but the end of a block
    """Raised by the test's own code: it passes through."""


class Anything:
    """A class that takes all arguments."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


@dataclass
class Model:
    """A type for rows."""

    n: int


WRONG: dict[str, Any] = {
    "None": None,
    "a number": 7,
    "a negative number": -1,
    "a fraction": 1.5,
    "not a number": float("nan"),
    "a number beyond 64 bits": 2**80,
    "a bool": True,
    "a text": "ß",
    "an empty text": "",
    "a number as a text": "3",
    "bytes": b"x",
    "a list": [1],
    "an empty list": [],
    "a list of texts": ["x"],
    "a dict": {"a": 1},
    "a dict with other keys": {1: 2},
    "a set": {1},
    "an object": object(),
    "a class": Anything,
    "an instance of a dataclass": Model(1),
    "a coroutine function": coroutine_function,
    "a function": plain_function,
    "a generator": range(3),
}
#: What each argument is in a call that is right; a method's own comes first, by ``method.argument``.
RIGHT: dict[str, Any] = {
    "sql": "select 1 as n",
    "execute_many.sql": "insert into items (id) values (:id)",
    "sets": [{"id": 1}],
    "table": "items",
    "rows": [{"id": 1}],
    "pages.key": "n",
    "run_once.key": "k",
    "name": "lock",
    "topic": "orders",
    "publish.key": "7",
    "payload": {"n": 1},
    "closure": failing,
    "callback": plain_function,
    "kind": "row",
}


@dataclass(frozen=True)
class Try:
    """One call.

    Attributes:
        told: which method, argument and value.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """

    told: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def methods_of(surface: type) -> list[str]:
    """Return the names of the public methods of a class."""
    names = (name for name, _ in inspect.getmembers(surface, inspect.isroutine) if not name.startswith("_"))
    return sorted(name for name in names if name not in INTERNAL)


def tries(function: Callable[..., Any], right: Mapping[str, Any] | None = None) -> Iterator[Try]:
    """Make calls in which every argument is right but one, which has each of the wrong values in turn."""
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
    own = RIGHT | dict(right or {})

    def value(parameter: inspect.Parameter) -> Any:
        usual = own.get(parameter.name, "x") if parameter.default is parameter.empty else parameter.default
        return own.get(f"{function.__name__}.{parameter.name}", own.get(parameter.name, usual))

    for wrong in parameters:
        for told, given in WRONG.items():
            args: list[Any] = []
            kwargs: dict[str, Any] = {}
            for each in parameters:
                chosen = given if each is wrong else value(each)
                if each.kind is each.POSITIONAL_ONLY:
                    args.append(chosen)
                elif each.kind is each.VAR_KEYWORD:
                    kwargs |= {"surplus": given} if each is wrong else {}
                elif each.kind is not each.VAR_POSITIONAL:
                    kwargs[each.name] = chosen
            yield Try(f"{function.__name__}({wrong.name}={told})", tuple(args), kwargs)


async def outcome(call: Callable[[], Any]) -> str | None:
    """Make a call and use what it gives; return what is wrong with how it ends, or None.

    It may end well, with an error of ours, or with what the test's own closure raised.
    """
    try:
        async with asyncio.timeout(10):
            await _use(call())
    except (rdskit.RdskitError, Undone) as error:
        return None if str(error) or isinstance(error, Undone) else "an error without a message"
    except Exception as error:  # noqa: BLE001 - what must not be seen: each is reported
        return _told(error)
    return None


def outcome_here(call: Callable[[], Any]) -> str | None:
    """Do the same for a function without an event loop."""
    try:
        made = call()
        if inspect.isgenerator(made):
            next(made, None)
            made.close()
        elif hasattr(made, "__enter__"):
            with made:
                pass
    except (rdskit.RdskitError, Undone) as error:
        return None if str(error) or isinstance(error, Undone) else "an error without a message"
    except Exception as error:  # noqa: BLE001 - what must not be seen: each is reported
        return _told(error)
    return None


def _told(error: Exception) -> str | None:
    if isinstance(error, TypeError) and "unexpected keyword argument 'surplus'" in str(error):
        return None  # Python's own
    return f"{type(error).__name__}: {error}"


async def _use(made: Any) -> None:
    if hasattr(made, "__aenter__"):
        async with made as entered:
            if isinstance(entered, rdskit.Database):
                await entered.fetch_value("select 1")
    elif inspect.isawaitable(made):
        await made
    elif inspect.isasyncgen(made):
        async with contextlib.aclosing(made):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(anext(made, None), PATIENCE)
