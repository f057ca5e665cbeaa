"""Run by Django's own runner, on each engine, through our backend."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import uuid
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    models,
    transaction,
)
from django.db.models import Count, F, Sum
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from rdskit.integrations.django.wrapper import RdsDatabaseWrapper
from tests.integrations.django.project.shop.models import Customer, Order
from tests.plugins.keepalive import CLIENT_PORT, seconds_to_live, seconds_unacknowledged


def make(name: str = "ada", *totals: str) -> Customer:
    customer: Customer = Customer.objects.create(name=name)
    Order.objects.bulk_create(Order(customer=customer, total=Decimal(total)) for total in totals)
    return customer


class Backend(TestCase):
    def test_the_system_watches_its_connection(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(CLIENT_PORT[connection.vendor])
            port = int(cursor.fetchone()[0])
        assert seconds_to_live(port) == 25
        assert seconds_unacknowledged(port) == 30

    def test_it_is_ours(self) -> None:
        assert isinstance(connections[DEFAULT_DB_ALIAS], RdsDatabaseWrapper)
        assert connection.display_name in {"PostgreSQL", "MySQL", "MariaDB"}

    def test_a_day_is_the_one_of_the_zone(self) -> None:
        late = Customer.objects.create(name="late", joined=dt.datetime(2026, 2, 3, 23, 30, tzinfo=dt.UTC))
        with timezone.override("Europe/Berlin"):
            assert list(Customer.objects.filter(joined__date=dt.date(2026, 2, 4))) == [late]
            assert list(Customer.objects.filter(joined__date=dt.date(2026, 2, 3))) == []

    def test_values_come_back_as_they_went(self) -> None:
        now, token = dt.datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=dt.UTC), uuid.uuid4()
        customer = Customer.objects.create(name="Zoë 🦊", joined=now, profile={"tags": ["a", None, 1.5]})
        Order.objects.create(customer=customer, total=Decimal("12.34"), token=token, note="x" * 70_000)
        found = Order.objects.select_related("customer").get(token=token)
        assert found.customer.joined == now
        assert found.customer.profile == {"tags": ["a", None, 1.5]}
        assert found.total == Decimal("12.34")
        assert len(found.note) == 70000
        assert found.customer.name == "Zoë 🦊"

    def test_aggregates_and_expressions(self) -> None:
        make("ada", "1.00", "2.50")
        make("grace")
        Order.objects.update(total=F("total") * 2)
        found = Customer.objects.annotate(count=Count("orders"), sum=Sum("orders__total")).order_by("name")
        assert [(each.name, each.count, each.sum) for each in found] == [
            ("ada", 2, Decimal("7.00")),
            ("grace", 0, None),
        ]
        assert Customer.objects.filter(profile__has_key="x").count() == 0

    def test_server_side_iteration(self) -> None:
        make("ada", *["1.00"] * 250)
        assert sum(1 for _ in Order.objects.iterator(chunk_size=100)) == 250

    def test_upsert(self) -> None:
        make("ada")
        if connection.features.supports_update_conflicts_with_target:
            Customer.objects.bulk_create(
                [Customer(name="ada", profile={"n": 2})],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["profile"],
            )
        else:
            Customer.objects.bulk_create(
                [Customer(name="ada", profile={"n": 2})], update_conflicts=True, update_fields=["profile"]
            )
        assert Customer.objects.get(name="ada").profile == {"n": 2}

    def test_constraints_are_told_as_such(self) -> None:
        customer = make("ada")
        with pytest.raises(IntegrityError), transaction.atomic():
            make("ada")
        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.create(customer=customer, total=Decimal(-1))
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT nonsense FROM nowhere")
        assert Customer.objects.count() == 1

    def test_introspection(self) -> None:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
            constraints = connection.introspection.get_constraints(cursor, "shop_order")
        assert {"shop_customer", "shop_order"} <= set(tables)
        assert "by_customer" in constraints
        out = StringIO()
        call_command("inspectdb", "shop_order", stdout=out)
        assert "class ShopOrder" in out.getvalue()


class Transactions(TransactionTestCase):
    def test_atomic_and_savepoints(self) -> None:
        with transaction.atomic():
            make("kept")
            with pytest.raises(ValueError, match="inner"), transaction.atomic():
                make("undone")
                raise ValueError("inner")
        self.raise_inside()
        assert list(Customer.objects.values_list("name", flat=True)) == ["kept"]

    def raise_inside(self) -> None:
        with pytest.raises(ValueError, match="outer"), transaction.atomic():
            make("gone")
            raise ValueError("outer")

    def test_on_commit_runs_after_the_commit_only(self) -> None:
        seen: list[int] = []
        with transaction.atomic():
            make("ada")
            transaction.on_commit(lambda: seen.append(Customer.objects.count()))
            assert seen == []
        assert seen == [1]

    def test_without_autocommit(self) -> None:
        transaction.set_autocommit(False)
        try:
            make("ada")
            transaction.rollback()
            make("grace")
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
        assert list(Customer.objects.values_list("name", flat=True)) == ["grace"]

    def test_a_row_lock_keeps_others_out(self) -> None:
        make("ada")
        told: list[str] = []

        def contend() -> None:
            try:
                with transaction.atomic():
                    Customer.objects.select_for_update(nowait=True).get(name="ada")
            except OperationalError:
                told.append("locked")
            finally:
                connection.close()

        with transaction.atomic():
            Customer.objects.select_for_update().get(name="ada")
            other = threading.Thread(target=contend)
            other.start()
            other.join()
        assert told == ["locked"]


class LostConnections(TransactionTestCase):
    def session(self) -> int:
        """Return the id of the connection's session."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()" if connection.vendor == "postgresql" else "SELECT connection_id()")
            return int(cursor.fetchone()[0])

    def end_session(self, number: int | None = None) -> None:
        """Have another connection end ours, as a server that goes down does."""
        number = number or self.session()
        other = connections[DEFAULT_DB_ALIAS].copy("other")
        with other.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [number])
            else:
                cursor.execute(f"KILL {number}")
                self.await_gone(cursor, number)
        other.close()

    def await_gone(self, cursor: Any, number: int) -> None:
        for _ in range(1000):
            cursor.execute("SELECT count(*) FROM information_schema.processlist WHERE id = %s", [number])
            if cursor.fetchone() == (0,):
                return
        self.fail("the session did not end")

    def test_a_connection_that_ended_while_idle_is_not_noticed(self) -> None:
        make("ada")
        self.end_session()
        assert Customer.objects.count() == 1

    def test_a_transaction_on_it_is_told_and_the_next_one_is_well(self) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            make("ada")
            self.end_session()
            make("grace")
        assert Customer.objects.count() == 0
        with transaction.atomic():
            make("grace")
        assert Customer.objects.count() == 1

    def test_a_transaction_that_overlooked_it_is_told_at_its_end_and_the_next_one_is_well(self) -> None:
        with pytest.raises(OperationalError), transaction.atomic():
            make("ada")
            self.end_session()
            with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        with transaction.atomic():
            make("grace")
        assert list(Customer.objects.values_list("name", flat=True)) == ["grace"]

    def test_a_connection_that_ends_right_after_the_commit_does_not_trap_its_thread(self) -> None:
        commit, number = connection._commit, self.session()

        def commit_and_end() -> None:
            commit()
            self.end_session(number)

        with (
            mock.patch.object(connection, "_commit", commit_and_end),
            contextlib.suppress(OperationalError),
            transaction.atomic(),
        ):
            make("ada")
        with transaction.atomic():
            make("grace")
        assert Customer.objects.count() == 2
        assert connection.get_autocommit()

    def test_an_open_manual_transaction_is_never_continued_elsewhere(self) -> None:
        transaction.set_autocommit(False)
        make("ada")
        self.end_session()
        with pytest.raises(DatabaseError):
            make("grace")
        connection.close()
        transaction.set_autocommit(True)
        assert Customer.objects.count() == 0

    def test_a_read_only_transaction_does_not_cost_the_connection(self) -> None:
        raw = connection.cursor().connection
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute("INSERT INTO shop_customer (name, profile) VALUES ('x', '{}')")
            else:
                cursor.execute("COMMIT")
                cursor.execute("START TRANSACTION READ ONLY")
                cursor.execute("INSERT INTO shop_customer (name, profile) VALUES ('x', '{}')")
        connection.ensure_connection()
        make("ada")
        assert connection.cursor().connection is raw


class Migrations(TransactionTestCase):
    def columns(self) -> set[str]:
        with connection.cursor() as cursor:
            return {each.name for each in connection.introspection.get_table_description(cursor, "shop_order")}

    def test_back_and_forth(self) -> None:
        call_command("migrate", "shop", "0001", verbosity=0)
        assert "note" not in self.columns()
        call_command("migrate", "shop", verbosity=0)
        assert {"note", "token"} <= self.columns()

    def test_models_and_migrations_agree(self) -> None:
        call_command("makemigrations", "shop", check=True, dry_run=True, verbosity=0)

    def test_the_schema_editor_alters(self) -> None:
        field = models.CharField(max_length=200, null=True)
        field.set_attributes_from_name("extra")
        with connection.schema_editor() as editor:
            editor.add_field(Customer, field)
        with connection.cursor() as cursor:
            names = [each.name for each in connection.introspection.get_table_description(cursor, "shop_customer")]
        assert "extra" in names
        with connection.schema_editor() as editor:
            editor.remove_field(Customer, field)
