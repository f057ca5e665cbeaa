"""The public surface: what is exported is what is meant, and every error has its place in the tree."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys

import pytest

import rdskit
import rdskit.sync
from rdskit import errors
from rdskit.client.database.session import Session
from rdskit.client.database.transactional import Transactional


def test_every_error_is_public_and_in_the_tree() -> None:
    classes = {name: one for name, one in vars(errors).items() if inspect.isclass(one)}
    assert set(classes) == set(errors.__all__)
    assert set(classes) <= set(rdskit.__all__)
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)\s", errors.__doc__ or "", re.MULTILINE)
    assert sorted(name for name in drawn if name in classes) == sorted(classes)
    for name, one in classes.items():
        assert one.__doc__, name
        assert issubclass(one, rdskit.RdskitError)


def test_the_tree_is_drawn_as_it_is() -> None:
    depth_of = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^([│├└─ ]*)([A-Z]\w+)(\s|$)", line):
            depth = len(match[1]) // 4
            del path[depth:]
            depth_of[match[2]] = path[-1] if path else None
            path.append(match[2])
    for name, parent in depth_of.items():
        one = getattr(errors, name, None)
        if one is not None and parent is not None:
            assert one.__bases__[0].__name__ == parent, name


def test_what_is_exported_can_be_had() -> None:
    for name in rdskit.__all__:
        assert getattr(rdskit, name) is not None
    assert rdskit.Database.__name__ == "Database"


@pytest.mark.no_server
def test_importing_rdskit_loads_no_driver_no_sdk_and_no_event_loop() -> None:
    heavy = "asyncio, asyncpg, boto3, botocore, psycopg, moto, rich, typer"
    code = f"import sys, rdskit; rdskit.connect; print([n for n in {heavy!r}.split(', ') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_every_error_survives_pickling() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        error = kind("DescribeDBInstances", "Throttling", "slow down") if name == "AwsError" else kind("what happened")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), str(again)) == (kind, str(error))
    refused = pickle.loads(pickle.dumps(errors.IntegrityError("no", sqlstate="23505")))  # noqa: S301 - our own
    assert refused.sqlstate == "23505"


def test_databases_and_sessions_show_nothing_of_our_own_to_callers() -> None:
    for surface in (rdskit.Database, Session, Transactional, rdskit.sync.Database, rdskit.sync.Session):
        shown = {name for name in dir(surface) if not name.startswith("_")}
        assert shown.isdisjoint({"dialect", "leave_to_parent"}), surface


def test_what_connect_was_given_shows_no_secret() -> None:
    connecting = rdskit.connect("postgresql://h/x", credentials="ssm:/prod/hunter2", token_key="hunter2hunter2hunter2")
    assert "hunter2" not in repr(connecting._given)
