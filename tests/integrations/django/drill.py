"""What a Django process sees of an instance with a standby and a replica; run by test_on_rds.py in its own process."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
import django
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client

WORKERS = 3
PATIENCE = 60.0


@dataclass
class Load:
    """Writers that never ask Django to look after their connections, as a command or a task does not."""

    over: threading.Event = field(default_factory=threading.Event)
    written: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

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
        connection.close()


def eventually(question: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not question():
        if time.monotonic() > end:
            raise TimeoutError("not in time")
        threading.Event().wait(0.02)


def route() -> dict[str, Any]:
    """Where requests read, before and after they write."""
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
    eventually(lambda: Customer.objects.using("reader").filter(name="ada").exists())
    found = Customer.objects.using("reader").get(name="ada")
    found.profile = {"seen": True}
    found.save()  # an object that was read from the replica is saved by the writer
    told["saved"] = Customer.objects.get(name="ada").profile
    return told


def fail_over(identifier: str) -> dict[str, Any]:
    """Write from several threads while the writer fails over."""
    from tests.integrations.django.project.shop.models import Customer

    load = Load()
    threads = [threading.Thread(target=load.work, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(load.written) > 20)
    rds = boto3.client("rds")
    before = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]["AvailabilityZone"]
    rds.reboot_db_instance(DBInstanceIdentifier=identifier, ForceFailover=True)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=identifier)
    after = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]["AvailabilityZone"]
    enough = len(load.written) + 50
    eventually(lambda: len(load.written) > enough)
    load.over.set()
    for thread in threads:
        thread.join()
    there = set(Customer.objects.values_list("name", flat=True))
    return {"moved": before != after, "failed": load.failed, "lost": sorted(set(load.written) - there)}


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
