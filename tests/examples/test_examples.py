"""Each example runs as its first lines say, on a local RDS; requests are made and rows are counted."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from rdskit.local import faults
from tests.examples.conftest import EXAMPLES, PATIENCE, Shop

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


class Customers:
    """Order one piece of tea after another, each until it is confirmed."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._over = threading.Event()
        self._some = threading.Condition()
        self.confirmed: list[str] = []
        self.statuses: set[int] = set()

    def order(self) -> None:
        while not self._over.is_set():
            order_id = str(uuid.uuid4())
            while (answer := self._client.put(f"/orders/{order_id}", json={"item": "tea"})).status_code == 503:
                self.statuses.add(503)
                self._over.wait(0.1)
            self.statuses.add(answer.status_code)
            with self._some:
                self.confirmed.append(order_id)
                self._some.notify_all()

    def await_more(self, orders: int) -> None:
        with self._some:
            enough = len(self.confirmed) + orders
            assert self._some.wait_for(lambda: len(self.confirmed) >= enough, PATIENCE)

    def leave(self) -> None:
        self._over.set()


def test_the_fastapi_shop_survives_a_failover(shop: Shop, port: int) -> None:
    words = ("-m", "uvicorn", "--app-dir", str(EXAMPLES / "fastapi_shop"), "--port", str(port), "app:app")
    with shop.serving("/health", port, *words) as client:
        before = shop.count("select count(*) from orders")  # of other tests, on the instance that all share
        assert client.put(f"/orders/{uuid.uuid4()}", json={"item": "cake"}).status_code == 409
        customers = Customers(client)
        threads = [threading.Thread(target=customers.order) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            customers.await_more(20)
            shop.local.fail_over(shop.identifier)
            customers.await_more(50)
        finally:
            customers.leave()
            for thread in threads:
                thread.join()
        again = client.put(f"/orders/{customers.confirmed[0]}", json={"item": "tea"})
        ordered = before + len(customers.confirmed)
        assert again.json() == {"new": False, "ordered": ordered}
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/").status_code == 200
    assert customers.statuses <= {200, 503}
    assert shop.count("select count(*) from orders") == ordered
    assert shop.count("select 1000 - pieces from stock where item = 'tea'") == ordered


def test_the_fastapi_shop_shows_a_customer_their_order_and_has_nobody_else_wait_for_it(shop: Shop, port: int) -> None:
    words = ("-m", "uvicorn", "--app-dir", str(EXAMPLES / "fastapi_shop"), "--port", str(port), "app:app")
    lagging = faults.injected(shop.identifier, faults.lag(3.0), data=shop.local.data)
    with shop.serving("/health", port, *words) as client, lagging:
        before = shop.count("select coalesce(sum(pieces), 0)::int from orders where item = 'tea'")
        end = time.monotonic() + PATIENCE
        for ordered in itertools.count(before + 1):
            placed = client.put(f"/orders/{uuid.uuid4()}", json={"item": "tea"}).json()
            assert placed == {"new": True, "ordered": ordered}
            # The replica cannot have it yet: a read that sees it there has waited, or was sent to the writer.
            if client.get("/orders").json().get("tea", 0) < ordered:
                break
            assert time.monotonic() < end, "others are never answered by the replica"


def test_the_django_project(shop: Shop, port: int) -> None:
    manage = str(EXAMPLES / "django_project" / "manage.py")
    shop.run(manage, "migrate", "--verbosity", "0")
    shop.run(manage, "makemigrations", "--check", "--dry-run")
    words = (manage, "runserver", "--noreload", f"127.0.0.1:{port}")
    with shop.serving("/orders", port, *words) as author:
        for pieces in (1, 2):
            answer = author.post("/place", data={"item": "tea", "pieces": pieces})
            assert (answer.status_code, answer.json()["written_to"]) == (201, "default")
        assert author.get("/orders").json() == {"orders": {"tea": 3}, "read_from": "default"}
        stranger = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)
        assert stranger.json()["read_from"] == "reader"
    assert shop.count("select sum(pieces)::int from shop_order") == 3


def test_the_flask_guest_book(shop: Shop, port: int) -> None:
    application = str(EXAMPLES / "flask_sqlalchemy" / "app.py")
    with shop.serving("/entries", port, "-m", "flask", "--app", application, "run", "--port", str(port)) as client:
        for guest in ("ada", "grace", "ada"):
            assert client.post("/entries", data={"guest": guest}).status_code == 201
        assert client.get("/").json() == {"ada": 2, "grace": 1}
        shop.local.fail_over(shop.identifier)
        assert client.get("/entries").json() == {"ada": 2, "grace": 1}
        assert client.post("/entries", data={"guest": "ada"}).status_code == 201
    assert shop.count("select count(*) from entries") == 4


def test_the_celery_worker(shop: Shop, tmp_path: Path) -> None:
    folder = str(EXAMPLES / "celery_worker")
    broker = {"SHOP_BROKER": str(tmp_path / "mail")}
    send = (
        f"import sys; sys.path.insert(0, {folder!r}); import tasks\n"
        "for number in range(12):\n"
        "    tasks.pay.apply_async(('ada', 100 + number), task_id=f'payment-{number % 10}')\n"
    )
    shop.run("-c", send, **broker)
    worker = (
        "-m",
        "celery",
        "--workdir",
        folder,
        "--app",
        "tasks",
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
    )
    with shop.running(*worker, **broker) as process:
        end = threading.Event()
        for _ in range(600):
            assert process.poll() is None, shop.log.read_text()
            if shop.log.read_text().count(" succeeded in ") == 12:
                break
            end.wait(0.1)
    assert shop.log.read_text().count(" succeeded in ") == 12, shop.log.read_text()
    assert shop.count("select count(*) from payments where customer = 'ada'") == 10
