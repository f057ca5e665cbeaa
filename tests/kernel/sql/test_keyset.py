"""Pages by keyset on plain values: their text, and the cursors."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.keyset import Keyset, bounds, decode_cursor, encode_cursor, key_of, keyset, page_text

BY_DATE = keyset("select * from t ;", ("created_at desc", "id"), Dialect.POSTGRES)
BY_ID = keyset("select * from t", "id", Dialect.POSTGRES)
VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))])),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.binary(),
)


def test_a_page_begins_behind_the_last_row_of_the_one_before() -> None:
    assert page_text(BY_ID, bounded=False, backward=False).endswith(') as rdskit_page order by "id" limit :rdskit_size')
    assert '("id") > (:rdskit_key_0) order by "id" limit' in page_text(BY_ID, bounded=True, backward=False)
    assert '("id") < (:rdskit_key_0) order by "id" desc' in page_text(BY_ID, bounded=True, backward=True)
    mixed = page_text(BY_DATE, bounded=True, backward=False)
    assert '"created_at" <= :rdskit_key_0 and ("created_at" < :rdskit_key_0' in mixed
    assert 'order by "created_at" desc, "id" limit' in mixed
    assert "(select * from t)" in mixed
    assert bounds(BY_DATE, ["x", 1]) == {"rdskit_key_0": "x", "rdskit_key_1": 1}


@given(values=st.tuples(VALUES, VALUES))
def test_a_cursor_gives_back_the_very_values(values: tuple[Any, Any]) -> None:
    cursor = encode_cursor(BY_DATE, values)
    again = decode_cursor(BY_DATE, cursor)
    assert again == list(values)
    assert [type(value) for value in again] == [type(value) for value in values]
    assert cursor.isascii()
    assert not set("+/=&?# ") & set(cursor)


@given(damaged=st.text(max_size=60))
def test_a_damaged_cursor_is_refused(damaged: str) -> None:
    with pytest.raises(ConfigError, match=r"the page cursor .* (is damaged|belongs to another)"):
        decode_cursor(BY_ID, damaged)


def test_a_cursor_of_another_query_or_order_is_refused() -> None:
    cursor = encode_cursor(BY_ID, [1])
    others = [
        keyset("select * from u", "id", Dialect.POSTGRES),
        keyset("select * from t", "id desc", Dialect.POSTGRES),
        keyset("select * from t", "name", Dialect.POSTGRES),
    ]
    for other in others:
        with pytest.raises(ConfigError, match="belongs to another query or key"):
            decode_cursor(other, cursor)


@pytest.mark.parametrize("key", ["", (), ("id sideways",), ("id", " ")])
def test_keys_that_are_none_are_refused(key: Any) -> None:
    with pytest.raises(ConfigError, match="page"):
        keyset("select 1", key, Dialect.POSTGRES)


def test_a_row_without_its_key_has_no_place() -> None:
    with pytest.raises(ConfigError, match="'id' is not a column of the query"):
        key_of(BY_ID, {"name": "x"})
    with pytest.raises(ConfigError, match="'id' is NULL in a row"):
        key_of(BY_ID, {"id": None})
    with pytest.raises(ConfigError, match="'id' is a complex, which no cursor can carry"):
        encode_cursor(BY_ID, [1j])


def test_values_keep_their_exactness() -> None:
    exact = [Decimal("0.10"), uuid.UUID(int=7)]
    query = Keyset("q", BY_DATE.columns, Dialect.MYSQL)
    assert [str(value) for value in decode_cursor(query, encode_cursor(query, exact))] == [
        str(value) for value in exact
    ]
