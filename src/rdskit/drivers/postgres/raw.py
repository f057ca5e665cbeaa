"""asyncpg's connection and row, with what ours need besides."""

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

_RESET_USER = "set session authorization default;"  # first: it takes back SET ROLE too, and what follows needs no other
_RESET_REST = "discard temp;\ndiscard sequences;"
_BINARY = 1  # asyncpg's number of the binary format
_CANCEL_WITHIN = 2.0  # seconds for a request to cancel


class Raw(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection, which remembers types and can ask for what it runs to be canceled.

    Attributes:
        types: what was found out about types that are made of others, by oid.
        json: what writes and reads the two types of JSON, by oid.
        chosen: codecs of the application's for other types, by oid.
        notices: what has to be looked at after the answer that is being read: a decoder has failed, or the server was
            asked to cancel.
    """

    __slots__ = ("chosen", "json", "notices", "types")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.types: dict[int, Any] = {}
        self.json: dict[int, Any] = {}
        self.chosen: dict[int, Codec] = {}
        self.notices: list[object] = []

    def choose(self, oid: int, codec: Codec) -> None:
        """Note that a type has a codec of the application's, which also decides on what is refused."""
        self.chosen[oid] = codec
        self.types[oid] = RULELESS

    def forget_types(self) -> None:
        """Forget what was found out about types, because they may have changed."""
        self.types.clear()
        self.types.update(dict.fromkeys(self.chosen, RULELESS))
        self._protocol.get_settings().clear_type_cache()

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:
        types, statement = await super()._introspect_types(typeoids, timeout)
        self.types.update((each["oid"], each) for each in types)
        return self._registered(types, set(typeoids)), statement

    async def learn_types(self, oids: Collection[int]) -> None:
        """Find out what types are made of; asyncpg does so itself when it prepares a statement that has them."""
        types, _ = await super()._introspect_types(oids, None)
        self.types.update((each["oid"], each) for each in types)

    def _registered(self, types: Any, missing: Container[int]) -> list[Any]:
        """Register types, each after those that it is made of, and return them for asyncpg to do so once more.

        asyncpg reads composite types and ranges in binary only, and some types it knows as text only (money, aclitem):
        what is made of such a part is read and written as the server's own text, as the part itself is. So is a base
        type for which asyncpg has half a codec or none; it would look for one six times, and then close the connection.
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
                settings.register_data_types(in_binary)  # setting a codec has cleared these
            elif each["elemtype"] and self._set_array(each):
                settings.register_data_types(in_binary)  # same
            else:
                in_binary.append(each)
        return in_binary

    def _set_array(self, array: Any) -> bool:
        """Register a type's own codec if it is an array that asyncpg does not write as it should be."""
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
        """Return the statements that take a session back to its beginning, prepared statements excepted.

        RESET ALL leaves role, session user and the state of ``random()``. Source: PostgreSQL manual, "DISCARD".
        """
        seed = random.SystemRandom().uniform(-1, 1)
        return f"{_RESET_USER}\n{super().get_reset_query()}\n{_RESET_REST}\nselect pg_catalog.setseed({seed!r});"

    async def request_cancel(self) -> None:
        """Ask the server over a connection of its own to cancel what runs; it closes that when it has passed it on."""
        protocol = self._protocol
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(_CANCEL_WITHIN):
                with upgrade.cut_afterwards():
                    await connect_utils._cancel(  # noqa: SLF001 - asyncpg sends it only when the caller is cancelled
                        loop=self._loop,
                        addr=self._addr,
                        params=self._params,
                        backend_pid=protocol.backend_pid,
                        backend_secret=protocol.backend_secret,
                    )

    async def _cancel(self, *waiters: Any) -> None:
        try:
            with upgrade.cut_afterwards():
                await super()._cancel(*waiters)
        finally:
            self._forget_current()

    def _clean_tasks(self) -> None:
        self._forget_current()  # a cancellation that ends the connection must not cancel itself
        super()._clean_tasks()

    def _forget_current(self) -> None:
        """Do what asyncpg does with ``current_task(self._loop)``, which knows no task of a loop that is wrapped."""
        self._cancellations.discard(asyncio.current_task(self._loop.real))
