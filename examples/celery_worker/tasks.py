"""A task that counts once, although Celery may deliver it twice and the database may fail over under it.

celery --workdir examples/celery_worker --app tasks worker

The broker is a directory here, so that nothing else has to be installed; use Redis, RabbitMQ or SQS in earnest.
"""

import functools
import os
from pathlib import Path

from celery import Celery, Task
from celery.signals import worker_init

import rdskit
import rdskit.sync

mail = Path(os.environ.get("SHOP_BROKER", ".celery")).absolute()
for folder in ("queue", "done"):
    (mail / folder).mkdir(parents=True, exist_ok=True)

app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(mail / "queue"),
    "data_folder_out": str(mail / "queue"),
    "processed_folder": str(mail / "done"),
    "control_folder": str(mail / "control"),
}
app.conf.task_acks_late = True  # a worker that dies has not done it


def connect() -> rdskit.sync.Database:
    """Connect to the shop's database."""
    return rdskit.sync.connect(os.environ["SHOP_DATABASE"], credentials=os.environ.get("SHOP_CREDENTIALS"), max_size=2)


database = functools.cache(connect)  # one for each worker process, connected when its first task comes


@worker_init.connect  # type: ignore[untyped-decorator] # Celery ships no types
def make_table(**_: object) -> None:
    """Once, before there are worker processes."""
    with connect() as db:
        db.execute(
            "create table if not exists payments (id text primary key, customer text not null, cents int not null)"
        )


@app.task(  # type: ignore[untyped-decorator] # Celery ships no types
    bind=True, autoretry_for=(rdskit.ConnectError, rdskit.FailoverError), retry_backoff=True, max_retries=8
)
def pay(self: Task, customer: str, cents: int) -> bool:
    """Record a payment, once: sent again after an `OutcomeUnknown`, the task still has the same id."""
    new = database().execute(
        "insert into payments values (:id, :customer, :cents) on conflict do nothing",
        id=self.request.id,
        customer=customer,
        cents=cents,
    )
    return bool(new)
