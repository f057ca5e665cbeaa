"""Convert asyncpg's logged-in connection to a pipelined one on the same socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdskit.drivers.postgres.wire.decoding import ARRAYS, BINARY_FORMAT, READINGS, TEXT_FORMAT, Reading
from rdskit.drivers.postgres.wire.encoding import WRITINGS, Writing
from rdskit.drivers.postgres.wire.pipeline import PostgresPipeline
from rdskit.errors import ConfigError
from rdskit.kernel.codecs import text_of
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from rdskit.drivers.postgres.raw import Raw
    from rdskit.kernel.codecs import Codec
    from rdskit.kernel.endpoints import Endpoint

_UTF8 = frozenset({"utf8", "utf-8"})


def open_pipeline(raw: Raw, endpoint: Endpoint) -> PostgresPipeline:
    """Use the socket of a connection that is logged in, idle, and has its codecs.

    Raises:
        DriverError: the session's encoding is not UTF-8, the only one that is supported here.
    """
    if str(raw.get_settings().client_encoding).lower() not in _UTF8:
        raw.terminate()
        message = f"{endpoint} sends texts in another encoding than UTF-8: pass pipeline='off'"
        raise DriverError(Failure.REFUSED, ConfigError(message))
    readings, writings = dict(READINGS), dict(WRITINGS)
    for oid, json in raw.json.items():
        readings[oid] = Reading(BINARY_FORMAT, json.decode)
        writings[oid] = Writing((), json.encode)
    for oid, codec in raw.chosen.items():
        readings[oid], writings[oid] = _chosen_reading(codec), _chosen_writing(codec)
        for array in [array for array, element in ARRAYS.items() if element == oid]:
            del readings[array]
            writings.pop(array, None)
    return PostgresPipeline(raw, endpoint, readings, writings)


def _chosen_reading(codec: Codec) -> Reading:
    return Reading(TEXT_FORMAT, lambda data: codec.decode(data.decode()))


def _chosen_writing(codec: Codec) -> Writing:
    def encode(value: Any) -> bytes:
        return text_of(codec, value).encode()

    return Writing((), encode, TEXT_FORMAT)
