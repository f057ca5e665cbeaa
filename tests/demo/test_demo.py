"""The demo as a user runs it: a whole run and a second one, Ctrl-C at any time, a local RDS that dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import psutil
import pytest

from rdskit.local import lifecycle
from tests.plugins.rounds import soak
from tests.plugins.templates import share_templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_WORD = 60.0  # seconds for the slowest step to begin
END = 90.0  # seconds for a run to end


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class DemoRun:
    """``rdskit demo`` as a child process, whose words can be waited for."""

    folder: Path
    port: int
    seconds: float = 3.0
    options: tuple[str, ...] = ()
    output: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "rdskit", "demo", "--data", str(self.data), "--port", str(self.port)]
        command += ["--seconds", str(self.seconds), "--json-file", str(self.json), "--html", str(self.page)]
        command += self.options
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="demo output")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def json(self) -> Path:
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def text(self) -> str:
        return "".join(self.output)

    def wait_for(self, words: str) -> None:
        """Wait until the demo has said something."""
        with self._heard:
            said = self._heard.wait_for(lambda: words in self.text or self.process.poll() is not None, FIRST_WORD)
        assert said, f"{words!r} was not said within {FIRST_WORD} s: {self.text}"
        assert words in self.text, self.text

    def end(self) -> int:
        """Wait for the end, and give the exit status."""
        status = self.process.wait(END)
        self._reader.join()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._heard:
                    self.output.append(line)
                    self._heard.notify_all()


def processes_of(data: Path) -> list[str]:
    """Command lines of whatever works on a data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(data) in word for word in process.cmdline()) and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:  # it has ended in the meantime
            continue
    return found


def assert_nothing_runs_on(data: Path) -> None:
    """Give what is ending a moment to end."""
    deadline = time.monotonic() + 10
    while (left := processes_of(data)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert left == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return one data directory for all runs: each finds what the last one left, as a user's does."""
    directory = tmp_path_factory.mktemp("demo")
    share_templates(directory / "data/fleet")
    yield directory
    lifecycle.reset(directory / "data")


@pytest.fixture
def fresh_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a data directory in which no demo ran before."""
    directory = tmp_path_factory.mktemp("fresh")
    yield directory
    lifecycle.reset(directory / "data")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def assert_nothing_went_wrong(demo: DemoRun) -> None:
    told = json.loads(demo.json.read_text())
    assert (told["lost"], told["duplicated"], told["stale_reads"], told["failed_present"]) == (0, 0, 0, 0)
    assert told["present"] == told["acknowledged"]
    assert told["unknown"] == 0, "run finds out about a lost COMMIT"
    assert told["acknowledged"] > 10
    assert told["reads"] >= told["acknowledged"]
    assert told["promotion_ms"] > 0
    assert told["outage_ms"] >= 1
    assert len(told["first_write_after_ms_per_writer"]) == told["run"]["writers"]
    assert told["run"]["zone_before"] != told["run"]["zone_after"]
    assert "Nothing lost" in demo.text


@pytest.mark.timeout(240)
@pytest.mark.parametrize("product", ["MariaDB", *soak("MySQL")])
def test_the_same_zeros_on_mysql_and_mariadb(folder: Path, port: int, product: str) -> None:
    with DemoRun(folder, port, options=("--engine", product.lower())) as demo:
        assert demo.end() == 0, demo.text
    assert f"{product} " in demo.text
    assert_nothing_went_wrong(demo)
    assert_nothing_runs_on(demo.data)


@pytest.mark.timeout(240)
def test_a_run_loses_nothing_and_leaves_nothing_and_the_next_one_does_so_too(
    fresh_folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user's own AWS account is out of reach.
    monkeypatch.setenv("AWS_PROFILE", "my-company")
    monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    for number in range(2):
        with DemoRun(fresh_folder, port) as demo:
            assert demo.end() == 0, demo.text
        # The second run finds the instances of the first.
        assert ("creating rdskit-demo" in demo.text) == (number == 0)
        assert_nothing_went_wrong(demo)
        assert demo.page.read_text().startswith("<!doctype html>")
        assert_nothing_runs_on(demo.data)


@pytest.mark.timeout(240)
def test_ctrl_c_under_load_gives_a_partial_report_and_a_clean_end(folder: Path, port: int) -> None:
    with DemoRun(folder, port, seconds=60) as demo:
        demo.wait_for("acknowledged")
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 130, demo.text
    told = json.loads(demo.json.read_text())
    assert told["run"]["interrupted"] is True
    assert told["run"]["seconds"] < 30
    assert (told["lost"], told["duplicated"]) == (0, 0)
    assert "Traceback" not in demo.text
    assert_nothing_runs_on(demo.data)


@pytest.mark.timeout(240)
def test_ctrl_c_while_it_starts_ends_at_once_and_leaves_nothing(folder: Path, port: int) -> None:
    with DemoRun(folder, port) as demo:
        demo.wait_for("starting the local RDS")
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 130, demo.text
    assert "Traceback" not in demo.text
    assert_nothing_runs_on(demo.data)


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_local_rds_that_is_killed_in_the_middle_is_one_error_and_the_next_run_works_and_keeps_it(
    folder: Path, port: int
) -> None:
    data = folder / "data"
    with DemoRun(folder, port, seconds=60) as demo:
        demo.wait_for("acknowledged")
        pid = lifecycle.status(demo.data).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert demo.end() == 1, demo.text
    (error,) = (line for line in demo.output if "Error" in line)
    assert f"LocalError: the local RDS (pid {pid}) ended in the middle of the demo" in error
    assert "Traceback" not in demo.text
    assert_nothing_runs_on(data)
    try:
        with DemoRun(folder, port, seconds=2, options=("--keep",)) as kept:
            assert kept.end() == 0, kept.text
        up = lifecycle.status(data)
        assert up.running
        with DemoRun(folder, port, seconds=2) as again:
            assert again.end() == 0, again.text
        assert lifecycle.status(data).pid == up.pid, "one that was up stays up"
    finally:
        lifecycle.down(data)
    assert_nothing_runs_on(data)


@pytest.mark.timeout(240)
def test_a_port_that_is_taken_is_one_error_with_the_next_step(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with DemoRun(folder, taken) as demo:
            assert demo.end() == 1
    assert f"port {taken}" in demo.text
    assert "--port" in demo.text
    assert "Traceback" not in demo.text


def test_an_engine_that_has_to_be_fetched_is_fetched_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A new machine, and one without apt, so that nothing is downloaded here.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with DemoRun(tmp_path, free_port(), options=("--engine", "mariadb")) as demo:
        assert demo.end() == 1, demo.text
    assert "LocalError: MariaDB is not installed" in demo.text
    assert "install MariaDB with this system's package manager" in " ".join(demo.text.split())
    assert "starting the local RDS" not in demo.text
    assert not demo.data.exists()
    assert "Traceback" not in demo.text
