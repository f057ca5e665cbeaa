"""Export a database's events as OpenTelemetry spans and metrics.

db = await rdskit.connect(target, observers=[observer(system="postgresql")])

Names follow the semantic conventions for database clients, version 1.33 (``db.client.operation.duration``,
``db.client.connection.*``); names outside of the conventions begin with ``rdskit.``. This module sends nothing by
itself: the application configures the providers.
"""

from __future__ import annotations

import time
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from rdskit import events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["observer"]

_SCOPE: Final = "rdskit"
_NANOSECONDS: Final = 1_000_000_000
# The bucket boundaries of the semantic conventions, and longer ones for failovers.
_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_OUTAGES: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_VERBS: Final = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "CALL", "CREATE", "ALTER", "DROP", "TRUNCATE", "REPLACE"}
)
_Attributes: TypeAlias = "Mapping[str, str | int]"


def observer(
    *,
    system: str | None = None,
    spans: bool = True,
    texts: bool = True,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[events.Event], None]:
    """Return an observer for ``rdskit.connect(…, observers=[…])``.

    Args:
        system: ``postgresql``, ``mysql`` or ``mariadb``, for the attribute ``db.system.name``.
        spans: whether each database call becomes a span, as a child of the caller's current span.
        texts: whether spans contain the statement's text, as the application wrote it; it never has parameters.
        tracer_provider: by default the global one.
        meter_provider: by default the global one.
    """
    common = {} if system is None else {"db.system.name": system}
    tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider) if spans else None
    return _Telemetry(common, metrics.get_meter(_SCOPE, meter_provider=meter_provider), tracer, texts=texts).record


class _Telemetry:
    """Record each event with its instruments."""

    def __init__(self, common: _Attributes, meter: Meter, tracer: Tracer | None, *, texts: bool) -> None:
        self._common = common
        self._tracer = tracer
        self._texts = texts
        self._calls = _histogram(meter, "db.client.operation.duration", "Duration of database calls.")
        self._creations = _histogram(meter, "db.client.connection.create_time", "Time to open a connection.")
        self._waits = _histogram(meter, "db.client.connection.wait_time", "Time that callers waited for a connection.")
        self._timeouts = meter.create_counter("db.client.connection.timeouts", "{timeout}", "Waits that timed out.")
        self._failures = meter.create_counter("rdskit.connection.failures", "{attempt}", "Connections not opened.")
        self._losses = meter.create_counter("rdskit.connection.losses", "{connection}", "Connections lost.")
        self._retries = meter.create_counter("rdskit.retries", "{retry}", "Retried statements.")
        self._outages = _histogram(meter, "rdskit.failover.duration", "Time without a writer.", _OUTAGES)
        self._notices = meter.create_counter("rdskit.notices", "{event}", "Other events.")

    @singledispatchmethod
    def record(self, event: Any) -> None:
        """Count an event without an instrument of its own, by its class, so that new classes are counted too."""
        self._notices.add(1, {**self._common, "rdskit.event": type(event).__name__})

    @record.register
    def _(self, event: events.QueryFinished) -> None:
        self._called(_verb(event.sql), event.seconds, event.error, event.sql)

    @record.register
    def _(self, event: events.StreamFinished) -> None:
        self._called(_verb(event.sql), event.seconds, event.error, event.sql, rows=event.rows)

    @record.register
    def _(self, event: events.BulkFinished) -> None:
        text = event.subject if event.method == "execute_many" else None
        self._called(event.method, event.seconds, event.error, text, rows=event.rows)

    @record.register
    def _(self, event: events.QueryRetried) -> None:
        self._retries.add(1, {**self._common, "rdskit.failure": event.failure.lower()})

    @record.register
    def _(self, event: events.ConnectionOpened) -> None:
        self._creations.record(event.seconds, self._of_pool(event.endpoint))

    @record.register
    def _(self, event: events.ConnectionFailed) -> None:
        self._failures.add(1, {**self._of_pool(event.endpoint), "error.type": event.error})

    @record.register
    def _(self, event: events.ConnectionClosed) -> None:
        if event.broken:
            self._losses.add(1, self._of_pool(event.endpoint))

    @record.register
    def _(self, event: events.PoolWaited) -> None:
        self._waits.record(event.seconds, self._of_pool(event.endpoint))
        if event.error is not None:
            self._timeouts.add(1, {**self._of_pool(event.endpoint), "error.type": event.error})

    @record.register
    def _(self, event: events.FailoverCompleted) -> None:
        self._outages.record(event.seconds, self._of_pool(event.writer))
        if self._tracer is not None:
            # A failover belongs to no request, so the span has no parent.
            self._span("failover", event.seconds, self._of_pool(event.writer), context=Context())

    def _called(
        self, operation: str | None, seconds: float, error: str | None, text: str | None, rows: int | None = None
    ) -> None:
        attributes: dict[str, str | int] = dict(self._common)
        if operation is not None:
            attributes["db.operation.name"] = operation
        if error is not None:
            attributes["error.type"] = error
        self._calls.record(seconds, attributes)
        if self._tracer is None:
            return
        if rows is not None:
            attributes["db.response.returned_rows"] = rows
        if text is not None and self._texts:
            attributes["db.query.text"] = text
        self._span(operation or "database", seconds, attributes, error=error)

    def _span(
        self,
        name: str,
        seconds: float,
        attributes: _Attributes,
        *,
        error: str | None = None,
        context: Context | None = None,
    ) -> None:
        """Record a span that has just ended."""
        assert self._tracer is not None
        end = time.time_ns()
        start = end - int(seconds * _NANOSECONDS)
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, attributes, start_time=start)
        if error is not None:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def _of_pool(self, endpoint: str) -> dict[str, str | int]:
        return {**self._common, "db.client.connection.pool.name": endpoint}


def _histogram(meter: Meter, name: str, description: str, boundaries: tuple[float, ...] = _SECONDS) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=boundaries)


def _verb(sql: str) -> str | None:
    """Return the statement's first word if it is a common one: metric attributes need a low cardinality."""
    word = sql.lstrip(" \t\r\n(").partition(" ")[0].partition("\n")[0].upper()
    return word if word in _VERBS else None
