"""What a URL may say, and what is refused with the next step."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy import make_url

import rdskit
from rdskit.integrations.sqlalchemy import Session, create_engine, readers_of
from rdskit.integrations.sqlalchemy.settings import settings_of, target_of
from rdskit.kernel.endpoints import Endpoint


def test_the_query_is_read_and_the_target_is_the_host() -> None:
    url = make_url("mysql+pymysql://app:hidden@db/shop?credentials=env&tls=require&timeout=5&charset=utf8mb4")
    settings = settings_of(url)
    assert (settings.credentials, settings.tls, settings.timeout) == ("env", "require", 5.0)
    target = target_of(url, settings)
    assert (target.endpoint, target.user, target.database) == (Endpoint("db", 3306), "app", "shop")
    assert "hidden" not in repr((settings, target))


def test_a_target_takes_user_and_database_of_the_url() -> None:
    url = make_url("postgresql+psycopg:///shop?target=rds://orders")
    target = target_of(url, settings_of(url))
    assert (target.identifier, target.database) == ("orders", "shop")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://?plugin=rdskit", "names no host"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&target=rds://orders", "give one"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&sslmode=disable", "use tls= and ca="),
        ("postgresql+psycopg://db/shop?plugin=rdskit&tls=maybe", "tls='maybe' is not a mode"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&timeout=soon", "'soon' in the SQLAlchemy URL is not a number"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&timeout=0", "leaves no time"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&tls=require&tls=off", "2 times"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&credentials=what", "credentials='what' is not known"),
        ("postgresql+psycopg://db/shop?plugin=rdskit&credentials=iam&tls=off", "in the clear"),
        ("sqlite://?plugin=rdskit", "it supports postgresql"),
    ],
)
def test_what_is_wrong_is_refused_at_once(url: str, words: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=words):
        sqlalchemy.create_engine(url)


def test_a_creator_of_ones_own_is_refused() -> None:
    with pytest.raises(rdskit.ConfigError, match="creator= opens connections by itself"):
        sqlalchemy.create_engine("postgresql+psycopg://db/shop?plugin=rdskit", creator=lambda: None)


def test_a_session_that_reads_from_replicas_works_on_an_engine_without_any() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with Session(engine, readers=True) as session:
        assert session.scalar(sqlalchemy.select(1)) == 1
    with Session(engine) as session:
        assert session.scalar(sqlalchemy.select(1), execution_options={"readers": True}) == 1
        assert session.scalar(sqlalchemy.select(1).execution_options(readers=True)) == 1
    engine.dispose()


def test_only_our_engines_have_readers() -> None:
    with pytest.raises(rdskit.ConfigError, match="is not an engine of rdskit's"):
        readers_of(sqlalchemy.create_engine("postgresql+psycopg://db/shop"))


def test_a_password_stays_out_of_the_engine() -> None:
    engine = create_engine("postgresql://app:secret@db/shop")
    assert "secret" not in repr(engine) + str(engine.url.render_as_string(hide_password=False))
    assert engine.url.drivername == "postgresql+psycopg"
