"""Parameters of the installed PostgreSQL, and the values that a group may set."""

from __future__ import annotations

import threading

import pytest

from rdskit.errors import LocalError
from rdskit.local.control.monitor import Monitor
from rdskit.local.control.rds.engines import Engines, PostgresOffer
from rdskit.local.control.rds.parameters import Assignment, Parameter, check_assignment, family_of, parameters_of
from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError
from rdskit.local.engines.postgres.providers import Binaries, find_postgres


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return find_postgres()


def test_family_is_the_major_version() -> None:
    assert family_of("postgres", "18.6") == "postgres18"
    assert family_of("mysql", "8.4.7") == "mysql8.4"
    assert family_of("mariadb", "10.11.14") == "mariadb10.11"


def test_the_engine_describes_its_own_parameters(binaries: Binaries) -> None:
    known = parameters_of(binaries)
    assert len(known) > 300
    assert {name for name in ("max_connections", "work_mem") if known[name].static} == {"max_connections"}
    assert known["max_connections"].limits == (1.0, 262143.0)
    assert known["work_mem"].modifiable
    assert known["autovacuum_vacuum_scale_factor"].data_type == "float"
    assert known["rds.force_ssl"].described(None)["Source"] == "system"


@pytest.mark.parametrize(
    "name", ["port", "data_directory", "synchronous_standby_names", "hba_file", "primary_conninfo", "ssl"]
)
def test_parameters_of_the_local_rds_cannot_be_modified(binaries: Binaries, name: str) -> None:
    known = parameters_of(binaries)
    with pytest.raises(InvalidValueError, match=f"{name} cannot be modified"):
        check_assignment(known[name], Assignment(name, "1", "pending-reboot"))


@pytest.mark.parametrize(
    ("name", "value", "method"),
    [
        ("work_mem", "8192", "immediate"),
        ("max_connections", "50", "pending-reboot"),
        ("max_connections", "{DBInstanceClassMemory/9531392}", "pending-reboot"),
        ("autovacuum_vacuum_scale_factor", "0.05", "immediate"),
        ("log_min_duration_statement", "-1", "immediate"),
        ("log_lock_waits", "1", "immediate"),
        ("rds.force_ssl", "1", "immediate"),
    ],
)
def test_values_that_fit(binaries: Binaries, name: str, value: str, method: str) -> None:
    check_assignment(parameters_of(binaries)[name], Assignment(name, value, method))


@pytest.mark.parametrize(
    ("name", "value", "method", "error", "message"),
    [
        ("work_mem", "1", "immediate", InvalidValueError, "Allowed values are 64-"),
        ("work_mem", "4MB", "immediate", InvalidValueError, "Invalid parameter value: 4MB"),
        ("autovacuum_vacuum_scale_factor", "101", "immediate", InvalidValueError, "0-100"),
        ("log_lock_waits", "perhaps", "immediate", InvalidValueError, "0,1"),
        ("work_mem", "8192", "soon", InvalidValueError, "immediate or pending-reboot"),
        ("max_connections", "50", "immediate", InvalidCombinationError, "static parameter max_connections"),
    ],
)
def test_values_that_rds_refuses(
    binaries: Binaries, name: str, value: str, method: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_assignment(parameters_of(binaries)[name], Assignment(name, value, method))


def test_parameter_that_does_not_exist() -> None:
    with pytest.raises(InvalidValueError, match="Could not find parameter with name: nonsense"):
        check_assignment(None, Assignment("nonsense", "1", "immediate"))


def test_family_that_no_engine_has(binaries: Binaries) -> None:
    with Monitor() as monitor, pytest.raises(InvalidValueError, match=f"oracle.*postgres{binaries.major}"):
        Engines([PostgresOffer()], monitor).parameters("oracle-ee-19")


def test_engine_versions_are_those_installed(binaries: Binaries) -> None:
    engines = Engines([PostgresOffer()], Monitor())
    assert engines.versions() == {"postgres": (binaries.version,)}
    assert [each["EngineVersion"] for each in engines.describe("postgres", None, None)] == [binaries.version]
    assert engines.describe("mysql", None, None) == []
    assert engines.describe(None, "9", None) == []


class SlowOffer:
    """An engine whose installation waits until the test sets ``here``."""

    engine = "mysql"
    title = "MySQL"

    def __init__(self) -> None:
        self.here = threading.Event()
        self.asked = threading.Event()

    def versions(self) -> tuple[str, ...]:
        return ("8.4.7",) if self.here.is_set() else ()

    def install(self) -> None:
        self.asked.set()
        assert self.here.wait(20)

    def parameters(self, version: str) -> dict[str, Parameter]:
        raise LocalError(f"MySQL {version} does not start")


def test_the_monitor_is_free_while_an_engine_is_fetched_and_a_failure_is_reported() -> None:
    offer, monitor = SlowOffer(), Monitor()
    engines = Engines([offer], monitor)

    def want() -> None:
        with monitor:
            engines.require("mysql")

    waiting = threading.Thread(target=want)
    waiting.start()
    assert offer.asked.wait(5)
    with monitor:  # the waiting thread has released it
        engines.close(timeout=0.01)
        assert engines.versions() == {}
        offer.here.set()
    waiting.join(5)
    assert engines.versions() == {"mysql": ("8.4.7",)}
    with monitor, pytest.raises(InvalidValueError, match=r"MySQL 8\.4\.7 does not start"):
        engines.parameters("mysql8.4")
    engines.close(timeout=5)
