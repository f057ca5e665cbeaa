"""Extend asyncpg's connection: custom codecs, a full reset, and cancel requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import connect_utils

from rdskit.drivers.postgres import upgrade
from rdskit.drivers.postgres.arguments import RULELESS
from rdskit.drivers.postgres.codecs import set_array_of_json, set_array_of_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from rdskit.kernel.codecs import Codec

_RESET_USER = "set session authorization default;"  # first: also undoes SET ROLE, and the rest then runs as the user
_RESET_REST = "discard temp;\ndiscard sequences;"
_BINARY = 1  # asyncpg's number of the binary format
_CANCEL_WITHIN = 2.0  # seconds for a request to cancel


class Raw(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection, which remembers types and can request the cancellation of its statement.

    Attributes:
        types: by oid, the introspection of composed types.
        json: by oid, the codecs of the two JSON types.
        chosen: codecs of the application's for other types, by oid.
        notices: reasons to check the response that is being read: a decoder has failed, or the server was asked to
            cancel.
    """

    __slots__ = ("chosen", "json", "notices", "types")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.types: dict[int, Any] = {}
        self.json: dict[int, Any] = {}
        self.chosen: dict[int, Codec] = {}
        self.notices: list[object] = []

    def choose(self, oid: int, codec: Codec) -> None:
        """Record that a type has a codec of the application's, which also decides which values to refuse."""
        self.chosen[oid] = codec
        self.types[oid] = RULELESS

    def forget_types(self) -> None:
        """Drop the introspection of types, because they may have changed."""
        self.types.clear()
        self.types.update(dict.fromkeys(self.chosen, RULELESS))
        self._protocol.get_settings().clear_type_cache()

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:
        types, statement = await super()._introspect_types(typeoids, timeout)
        self.types.update((each["oid"], each) for each in types)
        return self._register_types(types, set(typeoids)), statement

    async def learn_types(self, oids: Collection[int]) -> None:
        """Introspect types; asyncpg does so itself only for types in statements that it prepares."""
        types, _ = await super()._introspect_types(oids, None)
        self.types.update((each["oid"], each) for each in types)

    def _register_types(self, types: Any, missing: Container[int]) -> list[Any]:
        """Register types, each after its parts, and return those that asyncpg must register again itself.

        asyncpg reads composite types and ranges in binary only, and knows some types as text only (money, aclitem). A
        type with such a part is registered as the server's text, like the part itself. So is a base type for which
        asyncpg has half a codec or none; asyncpg would introspect it six times, and then close the connection.
        """
        settings = self._protocol.get_settings()
        in_binary: list[Any] = []
        for each in types:
            is_plain = each["oid"] in missing and each["kind"] == b"b" and not each["elemtype"]
            try:
                if not is_plain:
                    settings.register_data_types([each])
            except asyncpg.UnsupportedClientFeatureError:
                is_plain = True
            if is_plain:
                settings.set_builtin_type_codec(each["oid"], each["name"], each["ns"], "scalar", "text", "text")
                self.types[each["oid"]] = RULELESS
                settings.register_data_types(in_binary)  # set_builtin_type_codec has cleared these
            elif each["elemtype"] and self._register_array(each):
                settings.register_data_types(in_binary)  # same
            else:
                in_binary.append(each)
        return in_binary

    def _register_array(self, array: Any) -> bool:
        """Register a codec of rdskit's for an array that asyncpg does not encode correctly; return whether it did."""
        element, named = array["elemtype"], (array["oid"], array["name"])
        base = self._base_of(element)
        if base in self.json:
            set_array_of_json(self, named, element, self.json[base])
        elif base in self.chosen or self._protocol.get_settings().get_data_codec(element, _BINARY) is None:
            set_array_of_texts(self, named, array["elemdelim"].decode(), self.chosen.get(base))
        else:
            return False
        return True

    def _base_of(self, oid: int) -> int:
        found = self.types.get(oid)
        if found is None or found is RULELESS or found["kind"] != b"d":
            return oid
        return int(found["basetype"])

    def get_reset_query(self) -> str:
        """Return the statements that reset a session, except for its prepared statements.

        RESET ALL leaves role, session user and the state of ``random()``. Source: PostgreSQL manual, "DISCARD".
        """
        seed = random.SystemRandom().uniform(-1, 1)
        return f"{_RESET_USER}\n{super().get_reset_query()}\n{_RESET_REST}\nselect pg_catalog.setseed({seed!r});"

    async def request_cancel(self) -> None:
        """Ask the server to cancel the running statement, over a connection of its own.

        The server closes that connection once it has forwarded the request to the backend.
        """
        protocol = self._protocol
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(_CANCEL_WITHIN):
                with upgrade.abort_at_exit():
                    await connect_utils._cancel(  # noqa: SLF001 - asyncpg itself sends it only when the caller is cancelled
                        loop=self._loop,
                        addr=self._addr,
                        params=self._params,
                        backend_pid=protocol.backend_pid,
                        backend_secret=protocol.backend_secret,
                    )

    async def _cancel(self, *waiters: Any) -> None:
        try:
            with upgrade.abort_at_exit():
                await super()._cancel(*waiters)
        finally:
            self._discard_current_task()

    def _clean_tasks(self) -> None:
        self._discard_current_task()  # a cancellation that ends the connection must not cancel itself
        super()._clean_tasks()

    def _discard_current_task(self) -> None:
        """Remove the current task from the pending cancellations.

        asyncpg does this with ``current_task(self._loop)``, which finds no task, because `OwnLoop` is not the running
        loop.
        """
        self._cancellations.discard(asyncio.current_task(self._loop.real))
