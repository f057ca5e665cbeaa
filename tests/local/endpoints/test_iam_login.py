"""Logins with a token on all engines: IAM users, verification, and refusals."""

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

#: A client in a separate process, which the test kills. Its arguments are engine, host, port and token.
CLIENT = """
import psycopg, pymysql, sys
engine, host, port, token = sys.argv[1:]
if engine == "postgres":
    psycopg.connect(host=host, port=port, user="jane", password=token, dbname="postgres", sslmode="require")
else:
    pymysql.connect(host=host, port=int(port), user="jane", password=token, ssl={"check_hostname": False})
"""


def test_a_good_token_opens_a_session_of_that_user(endpoint: IamEndpoint) -> None:
    assert endpoint.whoami("jane", TOKEN) == "jane"
    assert endpoint.verifier.asked == [("orders", "jane", TOKEN)]


def test_a_user_with_a_password_needs_no_verification(endpoint: IamEndpoint) -> None:
    assert endpoint.whoami("bob", endpoint.password) == "bob"
    assert endpoint.whoami("bob", endpoint.password, tls=False) == "bob"
    with pytest.raises(LoginRefused):
        endpoint.enter("bob", TOKEN)
    assert endpoint.verifier.asked == []


@pytest.mark.parametrize("password", ["secret", "x" * 3000, IAM_SECRET])
def test_the_client_receives_the_reason(endpoint: IamEndpoint, password: str) -> None:
    with pytest.raises(LoginRefused, match=rf"{refusal(endpoint)}.*that is a password, not a token"):
        endpoint.enter("jane", password)
    assert len(endpoint.verifier.asked) == 1


def test_an_unencrypted_client_is_not_asked_for_a_token(endpoint: IamEndpoint) -> None:
    refused = 'pg_hba.conf rejects connection.*user "jane"' if endpoint.engine == "postgres" else refusal(endpoint)
    with pytest.raises(LoginRefused, match=re.compile(f"{refused}.*IAM authentication needs TLS", re.DOTALL)):
        endpoint.enter("jane", TOKEN, tls=False)
    assert endpoint.verifier.asked == []


def test_without_iam_authentication_its_users_are_refused(endpoint: IamEndpoint) -> None:
    endpoint.bench.set(iam=False)
    with pytest.raises(LoginRefused, match=rf"{refusal(endpoint)}.*not enabled for this DB instance"):
        endpoint.enter("jane", TOKEN)
    assert endpoint.whoami("bob", endpoint.password) == "bob"
    assert endpoint.verifier.asked == []


def test_without_a_verifier_no_token_is_accepted(endpoint: IamEndpoint) -> None:
    process = EndpointProcess()
    process.start()
    try:
        endpoint.bench.process.remove(endpoint.bench.state.name)
        process.set(endpoint.bench.state)
        with pytest.raises(LoginRefused, match="IAM authentication is not set up"):
            endpoint.enter("jane", TOKEN)
    finally:
        process.close()


def test_a_verifier_that_fails_refuses(endpoint: IamEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    def failing(*_: str) -> str:
        raise KeyError("no such key")

    endpoint.bench.process._verify = failing
    with pytest.raises(LoginRefused, match="cannot be verified: see the log"):
        endpoint.enter("jane", TOKEN)
    assert "no such key" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("endpoint", ["postgres", "mariadb", *soak("mysql")], indirect=True)
def test_a_slow_verifier_delays_no_other_login(endpoint: IamEndpoint) -> None:
    endpoint.verifier.open.clear()
    with ThreadPoolExecutor() as clients:
        slow = clients.submit(endpoint.whoami, "jane", TOKEN)
        assert poll(lambda: len(endpoint.verifier.asked) == 1, timeout=60)
        assert endpoint.whoami("bob", endpoint.password) == "bob"
        endpoint.bench.set(require_tls=True)
        with pytest.raises(LoginRefused, match="no verdict on the token within 5 s"):
            slow.result(30)
    endpoint.verifier.open.set()
    assert endpoint.whoami("jane", TOKEN) == "jane"


def test_two_hundred_logins_at_a_time(endpoint: IamEndpoint) -> None:
    count = 190  # of the server's 200 connections some are taken already
    together = threading.Barrier(count)

    def one() -> str:
        with endpoint.enter("jane", TOKEN) as connection, connection.cursor() as cursor:
            together.wait(90)
            cursor.execute("select current_user")
            return str(cursor.fetchone()[0]).partition("@")[0]

    with ThreadPoolExecutor(count) as clients:
        assert [each.result() for each in [clients.submit(one) for _ in range(count)]] == ["jane"] * count
    assert len(endpoint.verifier.asked) == count
    assert poll(lambda: endpoint.sessions("jane") == 0, timeout=60)


def test_a_client_that_leaves_during_verification_leaves_nothing(endpoint: IamEndpoint) -> None:
    endpoint.verifier.open.clear()
    before = connections_of(endpoint)
    client = subprocess.Popen([sys.executable, "-c", CLIENT, endpoint.engine, *map(str, endpoint.bench.address), TOKEN])
    assert poll(lambda: len(endpoint.verifier.asked) == 1, timeout=60)
    client.kill()
    client.wait()
    endpoint.verifier.open.set()
    assert poll(lambda: connections_of(endpoint) <= before + 1, timeout=60)  # the session of the user lookup
    assert poll(lambda: endpoint.sessions("jane") == 0, timeout=60)
    assert endpoint.whoami("jane", TOKEN) == "jane"


def test_a_server_that_dies_during_a_login_ends_it(endpoint: IamEndpoint) -> None:
    endpoint.verifier.open.clear()
    server = endpoint.bench.server
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(endpoint.whoami, "jane", TOKEN)
        assert poll(lambda: len(endpoint.verifier.asked) == 1, timeout=60)
        server.kill()
        endpoint.verifier.open.set()
        with pytest.raises(LoginRefused):
            waiting.result(20)
    server.start()
    assert endpoint.whoami("jane", TOKEN) == "jane"


def test_a_cut_ends_a_login_during_verification(endpoint: IamEndpoint) -> None:
    endpoint.verifier.open.clear()
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(endpoint.whoami, "jane", TOKEN)
        assert poll(lambda: len(endpoint.verifier.asked) == 1, timeout=60)
        endpoint.bench.set(cut=True)
        with pytest.raises(LoginRefused):
            waiting.result(20)
    endpoint.verifier.open.set()
    assert endpoint.whoami("jane", TOKEN) == "jane"


def test_a_verdict_for_a_dead_process_is_ignored(endpoint: IamEndpoint) -> None:
    endpoint.verifier.open.clear()
    before = endpoint.bench.process.pid
    assert before is not None
    with ThreadPoolExecutor() as clients:
        waiting = clients.submit(endpoint.whoami, "jane", TOKEN)
        assert poll(lambda: len(endpoint.verifier.asked) == 1, timeout=60)
        os.kill(before, signal.SIGKILL)
        with pytest.raises(LoginRefused):
            waiting.result(20)
    assert poll(lambda: serves_again(endpoint), timeout=60)
    with ThreadPoolExecutor() as clients:
        other = clients.submit(endpoint.whoami, "jane", "a guess")
        assert poll(lambda: len(endpoint.verifier.asked) == 2, timeout=60)
        endpoint.verifier.open.set()
        with pytest.raises(LoginRefused, match="that is a password"):
            other.result(20)


def serves_again(endpoint: IamEndpoint) -> bool:
    try:
        return endpoint.whoami("bob", endpoint.password) == "bob"
    except LoginRefused:
        return False


def refusal(endpoint: IamEndpoint) -> str:
    """Return how the error of a refused login of jane begins."""
    if endpoint.engine == "postgres":
        return r'PAM authentication failed for user "jane"\s+DETAIL:'
    return r"Access denied for user 'jane'@'127[0-9.]+' \(using password: YES\):"


def endpoint_process(endpoint: IamEndpoint) -> psutil.Process:
    return psutil.Process(endpoint.bench.process.pid)


def connections_of(endpoint: IamEndpoint) -> int:
    """Return the number of established connections of the endpoint process."""
    return sum(1 for each in endpoint_process(endpoint).net_connections("all") if each.status != "LISTEN")
