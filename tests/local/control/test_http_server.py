"""Limits for clients: of the HTTP server alone, with small limits, and of the whole local RDS."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rdskit.local.control.http.aws_errors import Answer
from rdskit.local.control.http.messages import Limits
from rdskit.local.control.http.server import Request, Server
from tests.local.control.conftest import until
from tests.local.control.http_client import exchange, send, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.local.control.conftest import LocalRdsDaemon

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL = Limits(line=200, head=500, fields=10, body=1000, bodies=20_000, connections=4, head_time=0.3, body_time=0.3)
MEBIBYTE = 1024**2


@contextlib.contextmanager
def serving(answer: Callable[[Request], Answer], limits: Limits = SMALL) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with Server(answer, listener, limits).running():
            yield port


def echo(request: Request) -> Answer:
    return Answer(200, (), request.body)


@pytest.fixture
def port() -> Iterator[int]:
    with serving(echo) as found:
        yield found


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", *lines, b"", b""]) + body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, 200),
        (b"\r\n" + GET, 200),
        (post(b"Content-Length: 3", body=b"abc"), 200),
        (post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), 200),
        (post(b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"), 200),
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (post(*[b"X: y"] * 11), 431),
        (post(*[b"X: " + b"y" * 190] * 3), 431),
        (post(b"Content-Length: 1001"), 413),
        (post(b"Content-Length: 999999999999"), 413),
        (post(b"Content-Length: -1"), 400),
        (post(b"Content-Length: 1e3"), 400),
        (post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400),
        (post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"abc"), 400),
        (post(b"Transfer-Encoding: gzip"), 501),
        (post(b"Transfer-Encoding: chunked", body=b"3e9\r\n"), 413),
        (post(b"Transfer-Encoding: chunked", body=b"FFFFFFFF\r\nx"), 413),
        (post(b"Transfer-Encoding: chunked", body=b"FFFFFFFFFFFF\r\nx"), 400),
        (post(b"Transfer-Encoding: chunked", body=b"-1\r\nx"), 400),
        (post(b"Transfer-Encoding: chunked", body=b"1\r\nxy\r\n"), 400),
        (post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 1001), 413),
        (post(b"Content-Length: 3", body=b"ab"), 400),
    ],
)
def test_each_length_has_a_limit_and_ambiguous_requests_are_refused(port: int, request_: bytes, status: int) -> None:
    answer = exchange(port, request_)
    assert status_of(answer) == status
    if status >= 400:
        assert b"<ErrorResponse>" in answer
        assert b"<Code>" in answer


def test_a_slow_client_is_cut_off_at_the_head_and_at_the_body(port: int) -> None:
    for begun in (b"GET / HT", GET[:-2], post(b"Content-Length: 3", body=b"a")):
        begin = time.monotonic()
        assert status_of(exchange(port, begun, end=False)) == 408
        assert time.monotonic() - begin < 5


def test_single_bytes_do_not_extend_the_deadline(port: int) -> None:
    stop = threading.Event()

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                client.sendall(b"X")

    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        thread = threading.Thread(target=drip, args=(client,))
        thread.start()
        try:
            assert status_of(client.recv(4096)) == 408
        finally:
            stop.set()
            thread.join()


def test_silent_connections_make_room(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for begun in (b"", b"GET", b"", b"POST / HTTP/1.1\r\n", b"", b"", b"GET /"):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(begun)
        for _ in range(3):
            assert status_of(exchange(port, GET)) == 200


def test_connections_that_wait_for_an_answer_are_left_alone() -> None:
    go_on, asked = threading.Event(), threading.Semaphore(0)

    def wait(request: Request) -> Answer:
        asked.release()
        assert go_on.wait(20)
        return echo(request)

    with serving(wait) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(4)]
        for client in clients:
            client.sendall(GET)
            assert asked.acquire(timeout=20)
        try:
            assert status_of(exchange(port, GET)) == 503
        finally:
            go_on.set()
        assert [status_of(client.recv(4096)) for client in clients] == [200] * 4


def test_all_bodies_together_have_a_limit() -> None:
    begun = post(b"Content-Length: 1000", body=b"x" * 999)
    with serving(echo, replace(SMALL, bodies=3500, body_time=2.0)) as port, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(begun)
        until(lambda: status_of(exchange(port, begun + b"x")) == 503, timeout=5)
        until(lambda: status_of(exchange(port, begun + b"x")) == 200, timeout=5)


def test_a_client_that_reads_no_answer_is_disconnected() -> None:
    big = Answer(200, (), b"x" * (32 * MEBIBYTE))
    limits = Limits(connections=1, answer_time=0.2)
    with serving(lambda _: big, limits) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(GET)
        until(lambda: len(exchange(port, GET, end=False)) > MEBIBYTE, timeout=10)


def test_requests_follow_one_another_on_one_connection(port: int) -> None:
    answer = exchange(port, GET + post(b"Content-Length: 3", body=b"abc") + GET)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert exchange(port, GET.replace(b"1.1", b"1.0"), end=False).count(b"Connection: close") == 1
    assert b"100 Continue" in exchange(port, post(b"Expect: 100-continue", b"Content-Length: 1", body=b"x"))


def test_one_small_request_does_not_grow_the_daemon(local: LocalRdsDaemon) -> None:
    """Keep the daemon's memory when 68 bytes are sent that once cost 300 MB each second."""
    before = local.memory()
    attack = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\nx"
    answers = [exchange(local.port, attack, timeout=4) for _ in range(3)]
    grown = local.memory() - before
    assert grown < 50 * MEBIBYTE
    assert [status_of(each) for each in answers] == [413] * 3


def test_a_compressed_body_is_not_inflated_without_end(local: LocalRdsDaemon) -> None:
    import gzip

    headers = {"Content-Encoding": "gzip"}
    bomb = gzip.compress(b"A" * (256 * MEBIBYTE))
    before = local.memory()
    status, text = send(local, bomb, headers=headers, service="cloudwatch")
    assert (status, "RequestEntityTooLarge" in text) == (413, True)
    assert local.memory() - before < 60 * MEBIBYTE
    for damaged in (bomb[:100], b"no gzip"):
        status, text = send(local, damaged, headers=headers, service="cloudwatch")
        assert status in (400, 413)
        assert "Code" in text
    fine = gzip.compress(b"Action=ListMetrics&Version=2010-08-01")
    assert send(local, fine, headers=headers, service="cloudwatch")[0] == 200
