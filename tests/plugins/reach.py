"""Which tests start a server: found from their fixtures and from the functions that their code refers to.

The search follows names through the code of ``tests/`` and ``bench/``, and stops at the package. It selects too much
rather than too little: a test that starts any other program counts too, unless it is marked ``no_server``.
"""

from __future__ import annotations

import functools
import inspect
import sys
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from tests.plugins.isolation import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

OURS = f"{CHECKOUT}/"
PACKAGES = (f"{CHECKOUT / 'src'}/", f"{CHECKOUT / '.venv'}/")
#: Modules and names of the package that start servers; a module stands for everything defined in it.
STARTERS = frozenset(
    {
        "rdskit.local.engines.postgres.throwaway",
        "rdskit.local.engines.mysql.throwaway",
        "rdskit.local.engines.mysql.mysql.MySQLServer",
        "rdskit.local.engines.mysql.mariadb.MariaDBServer",
        "rdskit.local.engines.postgres.server.PostgresServer",
        "rdskit.local.endpoints.process",
        "rdskit.local.fleet.service.Fleet",
        "rdskit.local.lifecycle.up",
        "rdskit.local.lifecycle.foreground",
    }
)
#: What starts a program, which may be or start a server.
PROGRAMS = frozenset(
    {"asyncio.subprocess.create_subprocess_exec", "asyncio.subprocess.create_subprocess_shell", "subprocess"}
    | {"_pytest.pytester.Pytester"}
)
FIXTURE_OF_PROGRAMS = "pytester"
PLAIN = (
    str,
    dict,
    list,
    tuple,
    set,
    frozenset,
    type,
    ModuleType,
    FunctionType,
    functools.partial,
    type(functools.cache(len)),
)
DYNAMIC = "getfixturevalue"


def starts_server(item: pytest.Item) -> bool:
    """Return whether a test may start a server, through its fixtures or by itself."""
    search = _Search(item)
    programs = item.get_closest_marker("no_server") is None
    return search.finds(STARTERS | PROGRAMS if programs else STARTERS) or (
        programs and FIXTURE_OF_PROGRAMS in search.fixtures
    )


class _Search:
    """All that one test reaches.

    Args:
        item: the test.

    Attributes:
        fixtures: their names, those that are asked for by name at run time included.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self.fixtures: set[str] = set()
        self._names: set[str] = set()
        self._follow([getattr(item, "function", None)])
        for name in getattr(item, "fixturenames", ()):
            self._add_fixture(name)

    def finds(self, wanted: frozenset[str]) -> bool:
        """Return whether one of these modules or names is reached."""
        return not self._names.isdisjoint(wanted)

    def _add_fixture(self, name: str) -> None:
        if name in self.fixtures:
            return
        definitions = self._item.session._fixturemanager.getfixturedefs(name, self._item)
        if definitions:
            self.fixtures.add(name)
            self._follow(definition.func for definition in definitions)
            for definition in definitions:
                for argument in definition.argnames:
                    self._add_fixture(argument)

    def _follow(self, functions: Iterable[object]) -> None:
        for function in functions:
            found = reached(function)
            self._names |= found.names
            if DYNAMIC in found.words:
                call = getattr(self._item, "callspec", None)
                given = call.params.values() if call else ()
                for word in {*found.words, *(value for value in given if isinstance(value, str))}:
                    self._add_fixture(word)


class Reached:
    """What the code of a function reaches.

    Attributes:
        names: full names of the functions, classes and modules.
        words: the names and strings in the code.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.words: set[str] = set()


@functools.cache
def _reached_by_function(function: FunctionType) -> Reached:
    found, waiting, seen = Reached(), [function], {id(function)}
    while waiting:
        current = waiting.pop()
        names = _names_in(current.__code__, found.words)
        found.names.update(name for name in names if name in sys.modules)  # imported in the function itself
        for value in _values(current, names):
            _note(value, found)
            for each in _functions_in(value):
                if id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)
    return found


def reached(value: object) -> Reached:
    """Return what a function reaches, directly or through others; nothing for any other object."""
    function = inspect.unwrap(value) if callable(value) else value
    function = getattr(function, "__func__", function)
    return _reached_by_function(function) if isinstance(function, FunctionType) else Reached()


def _names_in(code: CodeType, words: set[str]) -> set[str]:
    """Return the names that a code object and those inside it use; add its strings and names to ``words``."""
    names = {*code.co_names}
    words |= names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant, words)
        elif isinstance(constant, str):
            words.add(constant)
        elif isinstance(constant, tuple | frozenset):
            words.update(each for each in constant if isinstance(each, str))
    return names


def _values(function: FunctionType, names: set[str]) -> Iterator[object]:
    """Yield the objects that a function's names stand for, what its containers hold, and attributes of its modules."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    given = [function.__globals__[name] for name in names if name in function.__globals__]
    for value in filter(_is_plain, [*cells, *given]):
        yield value
        if isinstance(value, ModuleType):
            yield from filter(_is_plain, (vars(value)[name] for name in names if name in vars(value)))
        elif isinstance(value, dict):
            yield from filter(_is_plain, value.values())
        elif isinstance(value, functools.partial):
            yield from filter(_is_plain, (value.func, *value.args))
        elif isinstance(value, list | tuple | set | frozenset):
            yield from filter(_is_plain, value)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - the question is whether it raises
    except ValueError:
        return False
    return True


def _is_plain(value: object) -> bool:
    """Return whether a value may be looked at; proxies of other libraries act when they are."""
    return issubclass(type(value), PLAIN)


def _note(value: object, found: Reached) -> None:
    if isinstance(value, str):
        found.words.add(value)
    elif isinstance(value, ModuleType):
        found.names.add(value.__name__)
    elif isinstance(value, type | FunctionType):
        found.names |= {value.__module__, f"{value.__module__}.{value.__qualname__}"}


def _functions_in(value: object) -> Iterator[FunctionType]:
    """Yield the functions of our own files that a value is or has."""
    if isinstance(value, type) and _is_ours(getattr(sys.modules.get(value.__module__), "__file__", None)):
        members = [member for kind in value.__mro__ for member in vars(kind).values()]
    else:
        members = [value]
    for member in members:
        plain = getattr(member, "fget", None) or getattr(member, "__func__", member)
        plain = inspect.unwrap(plain) if callable(plain) else plain
        if isinstance(plain, FunctionType) and _is_ours(plain.__code__.co_filename):
            yield plain


def _is_ours(path: str | None) -> bool:
    """Return whether a source file is the checkout's own and not the package's."""
    return path is not None and path.startswith(OURS) and not path.startswith(PACKAGES)
