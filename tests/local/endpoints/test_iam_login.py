"""Logins with a token, on all engines: who needs one, who judges it, and what the others are told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.local.endpoints.process import EndpointProcess
from rdskit.local.engines.waiting import poll
from tests.local.endpoints.conftest import IAM_SECRET, TOKEN, LoginRefused
from tests.plugins.rounds import soak

if TYPE_CHECKING:
    from tests.local.endpoints.conftest import IamEndpoint

#: A client in a process of its own, to be killed: its arguments are engine, host, port and token.
CLIENT = """
import psycopg, pymysql, sys
engine, host, port, token = sys.argv[1:]
if engine == "postgres":
    psycopg.connect(host=host, port=port, user="jane", password=token, dbname="postgres", sslmode="require")
else:
    pymysql.connect(host=host, port=int(port), user="jane", password=token, ssl={"check_hostname": False})
"""


def test_a_good_token_opens_a_session_of_that_user(door: IamEndpoint) -> None:
    assert door.whoami("jane", TOKEN) == "jane"
    assert door.judge.asked == [("orders", "jane", TOKEN)]


def test_whoever_has_a_password_is_not_judged(door: IamEndpoint) -> None:
    assert door.whoami("bob", door.password) == "bob"
    assert door.whoami("bob", door.password, tls=False) == "bob"
    with pytest.raises(LoginRefused):
        door.enter("bob", TOKEN)
    assert door.judge.asked == []


@pytest.mark.parametrize("password", ["secret", "x" * 3000, IAM_SECRET])
def test_the_judges_reason_is_told(door: IamEndpoint, password: str) -> None:
    with pytest.raises(LoginRefused, match=rf"{refusal(door)}.*that is a password, not a token"):
        door.enter("jane", password)
    assert len(door.judge.asked) == 1


def test_a_token_in_the_clear_is_not_even_asked_for(door: IamEndpoint) -> None:
    told = 'pg_hba.conf rejects connection.*user "jane"' if door.engine == "postgres" else refusal(door)
    with pytest.raises(LoginRefused, match=re.compile(f"{told}.*IAM authentication needs TLS", re.DOTALL)):
        door.enter("jane", TOKEN, tls=False)
    assert door.judge.asked == []


def test_without_iam_authentication_its_users_are_refused(door: IamEndpoint) -> None:
    door.bench.set(iam=False)
    with pytest.raises(LoginRefused, match=rf"{refusal(door)}.*not enabled for this DB instance"):
        door.enter("jane", TOKEN)
    assert door.whoami("bob", door.password) == "bob"
    assert door.judge.asked == []


def test_nobody_is_let_in_where_nobody_judges(door: IamEndpoint) -> None:
    process = EndpointProcess()
    process.start()
    try:
        door.bench.process.remove(door.bench.state.name)
        process.set(door.bench.state)
        with pytest.raises(LoginRefused, match="IAM authentication is not set up"):
            door.enter("jane", TOKEN)
    finally:
        process.close()


def test_a_judge_that_fails_refuses(door: IamEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    def failing(*_: str) -> str:
        raise KeyError("no such key")

    door.bench.process._judge = failing
    with pytest.raises(LoginRefused, match="cannot be judged: see the log"):
        door.enter("jane", TOKEN)
    assert "no such key" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("door", ["postgres", "mariadb", *soak("mysql")], indirect=True)
def test_a_slow_judge_holds_nobody_else_up(door: IamEndpoint) -> None:
    door.judge.open.clear()
    with ThreadPoolExecutor() as clients:
        slow = clients.submit(door.whoami, "jane", TOKEN)
        assert poll(lambda: len(door.judge.asked) == 1, timeout=60)
        assert door.whoami("bob", door.password) == "bob"
        door.bench.set(require_tls=True)
        with pytest.raises(LoginRefused, match="no verdict on the token within 5 s"):
            slow.result(30)
    door.judge.open.set()
    assert door.whoami("jane", TOKEN) == "jane"


def test_two_hundred_logins_at_a_time(door: IamEndpoint) -> None:
    count = 190  # of the server's 200 connections some are taken already
    together = threading.Barrier(count)

    def one() -> str:
        with door.enter("jane", TOKEN) as connection, connection.cursor() as cursor:
            together.wait(90)
            cursor.execute("select current_user")
            return str(cursor.fetchone()[0]).partition("@")[0]

    with ThreadPoolExecutor(count) as clients:
        assert [each.result() for each in [clients.submit(one) for _ in range(count)]] == ["jane"] * count
    assert len(door.judge.asked) == count
    assert poll(lambda: door.sessions("jane") == 0, timeout=60)


def test_a_client_that_goes_away_while_it_is_judged_leaves_nothing(door: IamEndpoint) -> None:
    door.judge.open.clear()
    before = connections_of(door)
    client = subprocess.Popen([sys.executable, "-c", CLIENT, door.engine, *map(str, door.bench.address), TOKEN])
    assert poll(lambda: len(door.judge.asked) == 1, timeout=60)
    client.kill()
    client.wait()
    door.judge.open.set()
    assert poll(lambda: connections_of(door) <= before + 1, timeout=60)  # the one by which users are looked up
    assert poll(lambda: door.sessions("jane") == 0, timeout=60)
    assert door.whoami("jane", TOKEN) == "jane"


def test_a_server_that_dies_during_a_login_ends_it(door: IamEndpoint) -> None:
    door.judge.open.clear()
    server = door.bench.server
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(door.whoami, "jane", TOKEN)
        assert poll(lambda: len(door.judge.asked) == 1, timeout=60)
        server.kill()
        door.judge.open.set()
        with pytest.raises(LoginRefused):
            waiting.result(20)
    server.start()
    assert door.whoami("jane", TOKEN) == "jane"


def test_a_cut_ends_a_login_that_is_being_judged(door: IamEndpoint) -> None:
    door.judge.open.clear()
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(door.whoami, "jane", TOKEN)
        assert poll(lambda: len(door.judge.asked) == 1, timeout=60)
        door.bench.set(cut=True)
        with pytest.raises(LoginRefused):
            waiting.result(20)
    door.judge.open.set()
    assert door.whoami("jane", TOKEN) == "jane"


def test_a_verdict_for_a_process_that_has_died_is_worth_nothing(door: IamEndpoint) -> None:
    door.judge.open.clear()
    before = door.bench.process.pid
    assert before is not None
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(door.whoami, "jane", TOKEN)
        assert poll(lambda: len(door.judge.asked) == 1, timeout=60)
        os.kill(before, signal.SIGKILL)
        with pytest.raises(LoginRefused):
            waiting.result(20)
    assert poll(lambda: serves_again(door), timeout=60)
    with ThreadPoolExecutor() as clients:
        other = clients.submit(door.whoami, "jane", "a guess")
        assert poll(lambda: len(door.judge.asked) == 2, timeout=60)
        door.judge.open.set()
        with pytest.raises(LoginRefused, match="that is a password"):
            other.result(20)


def serves_again(door: IamEndpoint) -> bool:
    try:
        return door.whoami("bob", door.password) == "bob"
    except LoginRefused:
        return False


def refusal(door: IamEndpoint) -> str:
    """How a login of jane's that is refused begins."""
    if door.engine == "postgres":
        return r'PAM authentication failed for user "jane"\s+DETAIL:'
    return r"Access denied for user 'jane'@'127[0-9.]+' \(using password: YES\):"


def endpoint_process(door: IamEndpoint) -> psutil.Process:
    return psutil.Process(door.bench.process.pid)


def connections_of(door: IamEndpoint) -> int:
    """How many established connections the endpoint process has."""
    return sum(1 for each in endpoint_process(door).net_connections("all") if each.status != "LISTEN")
