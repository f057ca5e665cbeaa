"""What a server says is fit for a terminal and a log, and holds no values."""

from __future__ import annotations

import pytest

from rdskit.kernel.server_words import argument_words, escaped, family_words, postgres_words

CONTROLS = [
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H"),
    ("a\r\nERROR forged", "a\\r ERROR forged"),
    ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
    ("\u202eabc\u2066", "\\u202eabc\\u2066"),
    ("\x9b31m", "\\x9b31m"),
    ("\x00\x7f\b", "\\x00\\x7f\\x08"),
    ("\ud800", "\\ud800"),
]


@pytest.mark.parametrize(("words", "shown"), CONTROLS)
def test_nothing_that_a_terminal_obeys_is_left(words: str, shown: str) -> None:
    assert escaped(words) == shown


def test_plain_words_stay_and_long_ones_are_cut() -> None:
    assert escaped('relation "tëst" existiert 💧 nicht') == 'relation "tëst" existiert 💧 nicht'
    assert len(escaped("x" * 10_000_000)) == 2_001


POSTGRES = [
    (
        (
            "23505",
            'duplicate key value violates unique constraint "u"',
            "Key (email, n)=(ada@x.org, (1)) already exists.",
        ),
        'duplicate key value violates unique constraint "u"; Key (email, n)=(…) already exists',
    ),
    (
        (
            "23503",
            'insert on table "a" violates foreign key constraint "f"',
            'Key (b)=(7) is not present in table "b".',
        ),
        'insert on table "a" violates foreign key constraint "f"; Key (b)=(…) is not present in table "b"',
    ),
    (
        ("23514", 'new row for relation "a" violates check constraint "c"', "Failing row contains (1, secret)."),
        'new row for relation "a" violates check constraint "c"',
    ),
    (
        (
            "23P01",
            'conflicting key value violates exclusion constraint "e"',
            "Key (r)=([1,2)) conflicts with existing key (r)=([1,3)).",
        ),
        'conflicting key value violates exclusion constraint "e"; Key (r)=(…) conflicts with an existing key',
    ),
    (("22P02", 'invalid input syntax for type integer: "secret"', None), 'invalid input syntax for type integer: "…"'),
    (("22P02", 'invalid input value for enum mood: "se""cret"', None), 'invalid input value for enum mood: "…"'),
    (
        ("22003", 'value "99999999999" is out of range for type integer', None),
        'value "…" is out of range for type integer',
    ),
    (("42703", 'column "nam" does not exist', None), 'column "nam" does not exist'),
    (("2BP01", "cannot drop table a", "view v depends on table a"), "cannot drop table a; view v depends on table a"),
]


@pytest.mark.parametrize(("said", "shown"), POSTGRES)
def test_postgresql_without_values(said: tuple[str, str, str | None], shown: str) -> None:
    assert postgres_words(*said) == shown


FAMILY = [
    (
        "Duplicate entry 'ada' for key 'x@example.org' for key 'users.email'",
        "Duplicate entry '…' for key 'users.email'",
    ),
    (
        "Incorrect integer value: 'sec'ret' for column 'age' at row 1",
        "Incorrect integer value: '…' for column 'age' at row 1",
    ),
    ("Truncated incorrect DOUBLE value: 'secret'", "Truncated incorrect DOUBLE value: '…'"),
    (
        "Incorrect string value: '\\xF0\\x9F' for column 'a' at row 1",
        "Incorrect string value: '…' for column 'a' at row 1",
    ),
    ("BIGINT UNSIGNED value is out of range in '(5 - 10)'", "BIGINT UNSIGNED value is out of range in '…'"),
    ("Table has no partition for value 4711", "Table has no partition for value …"),
    ("Invalid utf8mb4 character string: 'F09F'", "Invalid utf8mb4 character string: '…'"),
    ("Unknown column 'nam' in 'field list'", "Unknown column 'nam' in 'field list'"),
    ("Out of range value for column 'age' at row 1", "Out of range value for column 'age' at row 1"),
]


@pytest.mark.parametrize(("said", "shown"), FAMILY)
def test_mysql_and_mariadb_without_values(said: str, shown: str) -> None:
    assert family_words(said) == shown


def test_arguments_without_their_value() -> None:
    said = "invalid input for query argument $1: 'secret' ('str' object cannot be interpreted as an integer)"
    assert (
        argument_words(said) == "invalid input for query argument $1: 'str' object cannot be interpreted as an integer"
    )
    said = "invalid input for query argument $2: 's (x) ecret' (expected str, got int)"
    assert argument_words(said) == "invalid input for query argument $2: expected str, got int"
    said = "invalid input for query argument $2: [1, 'secret'] (secret)"
    assert argument_words(said) == "invalid input for query argument $2: the value does not fit its type"
