"""What takes a SQLAlchemy URL or engine works with ours unchanged: SQLModel, Alembic, Flask-SQLAlchemy, pandas."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import alembic.command
import alembic.config
import flask
import flask_sqlalchemy
import flask_sqlalchemy.session
import pandas as pd
import pytest
import sqlalchemy
import sqlmodel
from sqlalchemy import text

from rdskit.integrations.sqlalchemy import ReadRouting, create_engine
from rdskit.integrations.sqlalchemy.plugin import readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL

ENVIRONMENT = """
    from alembic import context
    from sqlalchemy import engine_from_config

    engine = engine_from_config(context.config.get_section("alembic"))
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
"""
REVISION = """
    import sqlalchemy as sa
    from alembic import op

    revision, down_revision = "1", None

    def upgrade():
        op.create_table("note", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String(80)))

    def downgrade():
        op.drop_table("note")
"""


class Hero(sqlmodel.SQLModel, table=True):
    """A table as SQLModel's tutorial has it."""

    id: int | None = sqlmodel.Field(default=None, primary_key=True)
    name: str = sqlmodel.Field(max_length=50)


class RoutingSession(ReadRouting, sqlmodel.Session):
    """SQLModel's session, whose reads may go to replicas."""


@pytest.fixture
def text_url(sync_url: URL) -> str:
    return sync_url.render_as_string(hide_password=False)


@pytest.fixture
def engine(sync_url: URL) -> Iterator[sqlalchemy.Engine]:
    engine = create_engine(sync_url.difference_update_query(["plugin", "tls"]), tls="off")
    yield engine
    readers_of(engine).dispose()
    engine.dispose()


def test_sqlmodel_stores_and_finds(engine: sqlalchemy.Engine) -> None:
    sqlmodel.SQLModel.metadata.create_all(engine)
    with sqlmodel.Session(engine) as session:
        session.add(Hero(name="Deadpond"))
        session.commit()
    with RoutingSession(engine, readers=True) as session:
        found = session.exec(sqlmodel.select(Hero).where(Hero.name == "Deadpond")).one()
        assert found.id == 1
        found.name = "Rusty-Man"
        session.commit()
        assert session.exec(sqlmodel.select(Hero.name)).all() == ["Rusty-Man"]


def test_alembic_upgrades_and_downgrades(text_url: str, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(textwrap.dedent(ENVIRONMENT))
    (tmp_path / "versions/1_note.py").write_text(textwrap.dedent(REVISION))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", text_url.replace("%", "%%"))
    alembic.command.upgrade(config, "head")
    engine = sqlalchemy.create_engine(text_url)
    assert sqlalchemy.inspect(engine).has_table("note")
    alembic.command.downgrade(config, "base")
    assert not sqlalchemy.inspect(engine).has_table("note")
    engine.dispose()


def test_flask_sqlalchemy_serves_requests(text_url: str) -> None:
    app = flask.Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = text_url
    db = flask_sqlalchemy.SQLAlchemy(app)

    @app.get("/sum")
    def add() -> str:
        return str(db.session.scalar(text("select 40 + 2")))

    assert app.test_client().get("/sum").text == "42"
    with app.app_context():
        db.engine.dispose()


class FlaskSession(ReadRouting, flask_sqlalchemy.session.Session):
    """Flask-SQLAlchemy's session, whose reads may go to replicas."""


def test_flask_sqlalchemy_reads_from_replicas(text_url: str) -> None:
    app = flask.Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = text_url
    db = flask_sqlalchemy.SQLAlchemy(app, session_options={"class_": FlaskSession, "readers": True})
    with app.app_context():
        assert db.session.get_bind(clause=text("select 1")) is readers_of(db.engine)
        assert db.session.scalar(text("select 40 + 2")) == 42
        db.session.execute(text("create table seen (id int)"))
        assert db.session.get_bind(clause=text("select 1")) is db.engine
        db.session.remove()
        readers_of(db.engine).dispose()
        db.engine.dispose()


def test_pandas_writes_and_reads(engine: sqlalchemy.Engine, text_url: str) -> None:
    frame = pd.DataFrame({"sku": ["a", "b", "c"], "price": [1.5, None, 2.25], "stock": [3, 0, 7]})
    frame.to_sql("goods", engine, index=False, method="multi")
    frame.to_sql("goods", text_url, index=False, if_exists="append")
    by_url = pd.read_sql("select sku, sum(stock) as stock from goods group by sku order by sku", text_url)
    assert by_url.to_dict("list") == {"sku": ["a", "b", "c"], "stock": [6, 0, 14]}
    by_chunks = pd.concat(pd.read_sql("select * from goods order by sku", engine, chunksize=4))
    assert len(by_chunks) == 6
    assert by_chunks["price"].isna().sum() == 2
