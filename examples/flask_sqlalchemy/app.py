"""A guest book with Flask-SQLAlchemy: everything that is rdskit's stands in the database URL.

flask --app examples/flask_sqlalchemy/app.py run
"""

import os

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Of all models."""


class Entry(Base):
    """What a guest wrote."""

    __tablename__ = "entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str]


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL.create(
    "postgresql+psycopg",
    query={
        "plugin": "rdskit",
        "target": os.environ["SHOP_DATABASE"],
        **({"credentials": os.environ["SHOP_CREDENTIALS"]} if "SHOP_CREDENTIALS" in os.environ else {}),
    },
)
db = SQLAlchemy(app, model_class=Base)

with app.app_context():
    db.create_all()


@app.post("/entries")
def write() -> tuple[dict[str, int], int]:
    """Write into the book."""
    entry = Entry(guest=request.form["guest"])
    db.session.add(entry)
    db.session.commit()
    return {"id": entry.id}, 201


@app.get("/")
@app.get("/entries")
def count() -> dict[str, int]:
    """How many entries each guest has written."""
    rows = db.session.execute(select(Entry.guest, func.count()).group_by(Entry.guest))
    return {guest: number for guest, number in rows}  # noqa: C416 - rows are no pairs to the type checker
