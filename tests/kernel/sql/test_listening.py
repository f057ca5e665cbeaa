"""LISTEN on a pooled connection is refused, and every other statement passes without a second look at its text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, compile_statement, refuse_listening


@pytest.mark.parametrize("source", ["listen orders", "UNLISTEN *", "/* why */ Listen orders;"])
def test_listening_is_refused_on_postgres(source: str) -> None:
    with pytest.raises(ConfigError, match="would receive nothing"):
        refuse_listening(compile_statement(source, Dialect.POSTGRES))


@pytest.mark.parametrize("source", ["select 1", "insert into orders values (1)", "create table orders (id int)"])
def test_the_text_of_another_statement_is_not_read_again(source: str) -> None:
    statement = compile_statement(source, Dialect.POSTGRES)
    refuse_listening(replace(statement, source="'an open quote, which no tokenizer takes"))
