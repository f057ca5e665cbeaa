"""OpenTelemetry: the SDK's own exporters get spans and metrics of a real database."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import rdskit
from rdskit import events
from rdskit.integrations.opentelemetry import observer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.plugins.postgres import TestDatabase


class Telemetry:
    """An application's providers."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.providers: dict[str, Any] = {"tracer_provider": self.tracers, "meter_provider": self.meters}

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        found = {
            metric.name: metric.data.data_points
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        return list(found.get(name, ()))

    def shut_down(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.shut_down()


async def test_calls_are_spans_below_the_current_one_and_are_measured(
    database: TestDatabase, telemetry: Telemetry
) -> None:
    told = observer(system="postgresql", **telemetry.providers)
    async with rdskit.connect(database.url, tls="off", observers=[told]) as db:
        await db.execute("create table secrets (id int primary key, word text)")
        with telemetry.tracers.get_tracer("test").start_as_current_span("request") as request:
            await db.execute("insert into secrets values (:id, :word)", id=1, word="hunter2-parameter")
            with pytest.raises(rdskit.IntegrityError):
                await db.execute("insert into secrets values (:id, :word)", id=1, word="hunter2-parameter")
        await db.insert_many("secrets", [{"id": number, "word": "x"} for number in range(2, 12)])
    inserted, refused = (span for span in telemetry.spans() if span.name == "INSERT")
    for span in (inserted, refused):
        assert span.kind is SpanKind.CLIENT
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time < span.end_time
    assert dict(inserted.attributes or {}) == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.query.text": "insert into secrets values (:id, :word)",
    }
    assert (refused.attributes or {})["error.type"] == "IntegrityError"
    assert refused.status.status_code is StatusCode.ERROR
    (bulk,) = (span for span in telemetry.spans() if span.name == "insert_many")
    assert (bulk.attributes or {})["db.response.returned_rows"] == 10
    points = telemetry.points("db.client.operation.duration")
    counted = {(point.attributes["db.operation.name"], point.attributes.get("error.type")): point for point in points}
    assert counted["INSERT", None].count == 1
    assert counted["INSERT", "IntegrityError"].count == 1
    assert counted["CREATE", None].sum > 0
    (opened,) = telemetry.points("db.client.connection.create_time")
    assert opened.attributes["db.client.connection.pool.name"] == f"{database.host}:{database.port}"
    assert "hunter2" not in repr([span.to_json() for span in telemetry.spans()])


def test_failovers_retries_and_waits_in_vain_have_their_metrics(telemetry: Telemetry) -> None:
    told = observer(**telemetry.providers)
    told(events.FailoverCompleted("db:5432", 1.5))
    told(events.QueryRetried("select 1", "LOST", 1))
    told(events.PoolWaited("db:5432", 0.2, "PoolTimeout"))
    told(events.ConnectionClosed("db:5432", broken=True))
    told(events.ConnectionClosed("db:5432", broken=False))
    told(events.ConnectionFailed("db:5432", 0.1, "ConnectError"))
    told(events.BreakerOpened("db:5432"))
    (outage,) = telemetry.points("rdskit.failover.duration")
    assert (outage.count, outage.sum) == (1, 1.5)
    (span,) = telemetry.spans()
    assert (span.name, span.parent) == ("failover", None)
    names = (
        "rdskit.retries",
        "db.client.connection.timeouts",
        "rdskit.connection.losses",
        "rdskit.connection.failures",
    )
    assert [point.value for name in names for point in telemetry.points(name)] == [1, 1, 1, 1]
    (notice,) = telemetry.points("rdskit.notices")
    assert dict(notice.attributes) == {"rdskit.event": "BreakerOpened"}


def test_texts_and_spans_can_be_left_out(telemetry: Telemetry) -> None:
    finished = events.QueryFinished("vacuum\nsecrets", 0.1, None)
    observer(texts=False, **telemetry.providers)(finished)
    (span,) = telemetry.spans()
    assert (span.name, dict(span.attributes or {})) == ("database", {})
    observer(spans=False, **telemetry.providers)(finished)
    assert len(telemetry.spans()) == 1
    assert sum(point.count for point in telemetry.points("db.client.operation.duration")) == 2


def test_no_event_is_lost(telemetry: Telemetry) -> None:
    told = observer(spans=False, **telemetry.providers)
    kinds = typing.get_args(events.Event)
    for kind in kinds:
        values = {"str": "x", "float": 1.0, "int": 1, "bool": True, "int | None": 1, "str | None": "x"}
        told(kind(*(values[field.type] for field in kind.__dataclass_fields__.values())))
    assert {point.attributes["rdskit.event"] for point in telemetry.points("rdskit.notices")} == {
        "FailoverStarted",
        "BreakerOpened",
        "BreakerClosed",
        "CredentialsRotated",
        "TopologyUnavailable",
    }
