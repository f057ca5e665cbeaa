"""State in the data directory: complete, stored as data, and accepted only from a trusted directory."""

from __future__ import annotations

import os
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.errors import LocalError
from rdskit.local import lifecycle
from rdskit.local.control.layout import Layout
from tests.local.control import api_tour
from tests.local.control.conftest import LocalRdsDaemon, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.timeout(240)
def test_everything_comes_back_for_every_service(fresh: LocalRdsDaemon) -> None:
    api_tour.take(fresh)
    before = api_tour.seen(fresh)
    assert [name for name, found in before.items() if not found] == []
    for _ in range(2):
        lifecycle.down(fresh.data)
        lifecycle.up(fresh.data)
        after = api_tour.seen(fresh)
        for name, found in before.items():
            if name.startswith("rds") and "events" in name:
                assert after[name][: len(found)] == found
            else:
                assert after[name] == found, name
    queue = fresh.client("sqs").get_queue_url(QueueName="tour.fifo")["QueueUrl"]
    message = fresh.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]
    assert message["Body"] == "kept"
    fresh.client("sns").publish(
        TopicArn="arn:aws:sns:eu-west-1:123456789012:tour",
        Message="after",
        MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}},
    )
    queue = fresh.client("sqs").get_queue_url(QueueName="tour")["QueueUrl"]
    received = fresh.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    assert "after" in [each["Body"] for each in received["Messages"]]


@pytest.fixture(scope="module")
def was_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a stopped local RDS, for copies."""
    data = tmp_path_factory.mktemp("was-up") / "data"
    local = LocalRdsDaemon(data, lifecycle.up(data, free_port()).port)
    local.client("ssm").put_parameter(Name="/x", Value="1", Type="String")
    lifecycle.down(data)
    # Without its marker it is not an original: a copy of an original would be refused.
    Layout(data).marker.rename(data.parent / "marker")
    return data


@pytest.fixture
def stopped(was_up: Path, tmp_path: Path) -> Path:
    """Return a copy of the directory of a stopped local RDS."""
    data = shutil.copytree(was_up, tmp_path / "data", symlinks=True)
    shutil.copy2(was_up.parent / "marker", Layout(data).marker)
    return data


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return open, (str(self.target), "w")


def refused(data: Path, *words: str) -> None:
    """Expect a start to be refused with each of these words, without a running process."""
    with pytest.raises(LocalError) as caught:
        lifecycle.up(data)
    for word in words:
        assert word in str(caught.value)
    assert not Layout(data).state.parent.joinpath("trapped").exists()


def test_damaged_and_changed_states_are_refused(tmp_path: Path) -> None:
    from moto.iam.models import IAMBackend

    from rdskit.local.control.services import backends_of
    from rdskit.local.control.state.persistence import BackendKey, StateStore

    key = BackendKey("iam", "123456789012", "aws")
    backend = backends_of("iam")["123456789012"]["aws"]
    store = StateStore(tmp_path, ["iam"], "secret")
    backend.create_user("us-east-1", "ada")
    store.save(["iam"])
    file = tmp_path / key.file_name
    whole = file.read_bytes()
    line, _, body = whole.partition(b"\n")
    trap = pickle.dumps({"users": Trap(tmp_path / "trapped")})
    for content, reason in {
        whole[:-9]: "damaged",
        whole + b" ": "damaged",
        line + b"\n" + body.replace(b'"ada"', b'"eve"'): "damaged",
        line + b"\n" + trap: "damaged",
        line: "damaged",
        b"rdskit-state 1 moto 5.2.5\n" + trap: "written as 'rdskit-state 1",
        trap: "something else",
        b"": "something else",
        b"\x1b[2J\n": "something else",
    }.items():
        file.write_bytes(content)
        for call in (store.verify, lambda: store.restore(key, IAMBackend("aws", "123456789012"))):
            with pytest.raises(LocalError, match=f"{reason}.*rdskit local reset"):
                call()
    assert not (tmp_path / "trapped").exists()
    file.write_bytes(whole)
    store.verify()
    again = IAMBackend("aws", "123456789012")
    store.restore(key, again)
    assert list(again.users) == list(backend.users)
    backends_of("iam").clear()
    with pytest.raises(LocalError, match="damaged"):
        StateStore(tmp_path, ["iam"], "another secret").verify()


def test_a_state_under_another_name_is_refused(stopped: Path) -> None:
    state = Layout(stopped).state
    for name, word in {"rds.x.state": "remove that file", "rds.1.eu-west-1.state": "account"}.items():
        (state / name).write_bytes(b"")
        refused(stopped, word)
        (state / name).unlink()
    (state / "iam.123456789012.aws.state").replace(state / "iam.123456789012.aws-cn.state")
    refused(stopped, "damaged")


@pytest.mark.parametrize("name", ["daemon.json", "key-pair.json", "settings.json", "cloud.json"])
def test_damaged_files_of_our_own_name_the_next_step(stopped: Path, name: str) -> None:
    for content in (b"{", b"[]") if name == "key-pair.json" else (b"[" * 100_000,):
        (stopped / name).write_bytes(content)
        if name == "daemon.json":
            lifecycle.up(stopped)
            lifecycle.down(stopped)
        else:
            refused(stopped, "rdskit local reset")


def _by_others(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def _by_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def _by_link(path: Path) -> None:
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


@pytest.mark.parametrize("change", [_by_others, _by_group, _by_link])
@pytest.mark.parametrize("name", [".", "services", "key-pair.json", "services/iam.123456789012.aws.state"])
def test_a_directory_that_others_can_write_to_is_refused(
    stopped: Path, name: str, change: Callable[[Path], None]
) -> None:
    if name == "." and change is _by_link:
        return  # the data directory may be a link: its target counts
    change(stopped / name)
    for call in (lifecycle.up, lifecycle.down, lifecycle.env, lifecycle.status, lifecycle.reset):
        if name.startswith("services/") and call is not lifecycle.up:
            continue
        with pytest.raises(LocalError, match=r"chmod go-w|symbolic link|cannot be read"):
            call(stopped)
    assert (stopped / "cloud.json").exists()


def test_a_directory_of_another_user_is_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: stopped.stat().st_uid + 1)
    for call in (lifecycle.up, lifecycle.down, lifecycle.env, lifecycle.status, lifecycle.reset):
        with pytest.raises(LocalError, match=r"belongs to another user: run as that user"):
            call(stopped)


def test_an_earlier_version_is_refused_and_can_be_reset(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "services").mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    (data / "settings.json").write_text('{"port": 4566}')
    (data / "services" / "iam.123456789012.aws.state").write_bytes(
        b"rdskit-state 1 moto 5.2.5\n" + pickle.dumps(Trap(data / "trapped"))
    )
    refused(data, "earlier version", "rdskit local reset")
    lifecycle.reset(data)
    assert not data.exists()
    lifecycle.up(data, free_port())
    lifecycle.down(data)
    marker = data / "cloud.json"
    marker.write_text(marker.read_text().replace('"format": 2', '"format": 1'))
    refused(data, "another version", "rdskit local reset")
    lifecycle.reset(data)
    assert not data.exists()


def test_only_an_empty_directory_becomes_a_local_rds(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years")
    for name, content in {"settings.json": '{"port": 1}', "cloud.json": "{}", "daemon.lock": ""}.items():
        (precious / name).write_text(content)
        with pytest.raises(LocalError, match=r"holds something else|damaged|another version"):
            lifecycle.up(precious)
        with pytest.raises(LocalError, match="does not look like"):
            lifecycle.reset(precious)
    assert (precious / "chapter.txt").read_text() == "years"
    open_to_group = tmp_path / "empty"
    open_to_group.mkdir()
    open_to_group.chmod(0o775)
    Layout(open_to_group).make()
    assert open_to_group.stat().st_mode & 0o777 == 0o700
    lifecycle.reset(open_to_group)
