"""What a Django process sees of an instance with a standby and a replica; run by test_on_rds.py in its own process."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import django
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 3
PATIENCE = 60.0


@dataclass
class Load:
    """Writers that never ask Django to look after their connections, as a command or a task does not.

    They know one class of errors, Django's ``DatabaseError``; whatever else a failover raised would end them.
    """

    over: threading.Event = field(default_factory=threading.Event)
    written: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)

    def run(self, worker: int) -> None:
        """Work, and tell what ended it too early."""
        try:
            self.work(worker)
        except BaseException as error:
            self.died.append(f"worker {worker}: {error!r}")
            raise
        finally:
            connection.close()

    def work(self, worker: int) -> None:
        from tests.integrations.django.project.shop.models import Customer

        number = 0
        while not self.over.is_set():
            name, number = f"{worker}-{number}", number + 1
            try:
                with transaction.atomic():
                    Customer.objects.create(name=name)
            except DatabaseError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            else:
                self.written.append(name)

    def await_written(self, count: int) -> None:
        """Wait until so many transactions were committed by all workers together."""
        eventually(lambda: self.died or len(self.written) >= count, self)
        if self.died:
            raise RuntimeError(f"workers ended: {self.died}; what had failed before: {self.failed}")

    def __str__(self) -> str:
        return f"{len(self.written)} written; failed: {self.failed}; died: {self.died}"


def eventually(question: Callable[[], object], told: object) -> None:
    """Ask until the answer is true; ``told`` says how far it came if that takes too long."""
    end = time.monotonic() + PATIENCE
    while not question():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:g} s: {told}")
        threading.Event().wait(0.02)


def route() -> dict[str, Any]:
    """Return where requests read, before and after they write."""
    from tests.integrations.django.project.shop.models import Customer

    stranger, author = Client(), Client()
    told = {
        "stranger": stranger.get("/read").json(),
        "orm": author.get("/write/ada").json(),
        "author": author.get("/read").json(),
        "raw": Client().get("/write/grace?raw=1").json(),
        "async": Client().get("/later/edsger").json(),
        "outside": Customer.objects.get(name="ada")._state.db,
    }
    eventually(lambda: Customer.objects.using("reader").filter(name="ada").exists(), told)
    found = Customer.objects.using("reader").get(name="ada")
    found.profile = {"seen": True}
    found.save()  # an object that was read from the replica is saved by the writer
    told["saved"] = Customer.objects.get(name="ada").profile
    return told


def fail_over(identifier: str) -> dict[str, Any]:
    """Write from several threads while the writer fails over."""
    from tests.integrations.django.project.shop.models import Customer

    load = Load()
    threads = [threading.Thread(target=load.run, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        load.await_written(20)
        moved = reboot(identifier)
        load.await_written(len(load.written) + 50)
    finally:
        load.over.set()
        for thread in threads:
            thread.join()
    there = set(Customer.objects.values_list("name", flat=True))
    return {"moved": moved, "failed": load.failed, "lost": sorted(set(load.written) - there)}


def reboot(identifier: str) -> bool:
    """Force a failover, wait until it is over, and tell whether the writer has moved."""
    rds = boto3.client("rds")
    before = zone_of(rds, identifier)
    rds.reboot_db_instance(DBInstanceIdentifier=identifier, ForceFailover=True)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)
    return zone_of(rds, identifier) != before


def zone_of(rds: Any, identifier: str) -> str:
    found = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    return str(found[0]["AvailabilityZone"])


def log_in_by_iam() -> str:
    """Log in with a token, and with the certificate verified."""
    grant = "GRANT rds_iam TO ada" if connection.vendor == "postgresql" else None
    create = "CREATE USER ada" if grant else "CREATE USER ada IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
    with connection.cursor() as cursor:
        cursor.execute(create)
        cursor.execute(grant or "GRANT SELECT ON app.* TO ada")
    with connections["iam"].cursor() as cursor:
        cursor.execute("SELECT current_user" if grant else "SELECT current_user()")
        (user,) = cursor.fetchone()
    return str(user)


def main(identifier: str) -> None:
    django.setup()
    call_command("migrate", verbosity=0)
    command, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    told = {
        "routes": route(),
        "failover": fail_over(identifier),
        "iam": log_in_by_iam(),
        "shell": [command, sorted(environment)],
    }
    connections.close_all()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
