"""Cursors, tokens and targets come from outside: whatever they hold, the error is one of rdskit's."""

from __future__ import annotations

import base64
import json
import random
import string

import pytest

from rdskit.client.replicas.token import Claim, cluster_digest, sign, verify
from rdskit.errors import ConfigError, RdskitError
from rdskit.kernel.positions import START
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.keyset import decode_cursor, encode_cursor, keyset
from rdskit.kernel.targets import parse_target

SEED = 20_261_130
COUNTS = [2_000, pytest.param(200_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
KEY = b"k" * 32
QUERY = keyset("select id, at from t", ["id", "at desc"], Dialect.POSTGRES)
HOSTILE = ["\x00", "\ud800", "\u2028", "٣", "=", "-", "_", "%", "|", "\n", "ÿ", "💧", " "]


def mutated(chance: random.Random, text: str) -> str:
    """Change, drop, double or insert a few characters."""
    letters = list(text)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(letters) + 1)
        match chance.randrange(4):
            case 0:
                letters[place : place + chance.randint(1, 8)] = []
            case 1:
                letters[place:place] = letters[place : place + 8]
            case 2:
                letters[place:place] = [chance.choice(HOSTILE)]
            case _:
                letters[place : place + 1] = [chance.choice(string.printable)]
    return "".join(letters)


def forged(chance: random.Random) -> str:
    """Write a cursor with a right fingerprint and wrong values."""
    values = ["x", -1, 1e308, None, True, [], {}, "9" * 5000, "nan", "inf", "0x1p99999", [1, 2, 3], [10**12, 0, 0]]
    tagged = [[chance.choice("bifsdTDltux?"), chance.choice(values)] for _ in range(chance.randint(0, 3))]
    text = json.dumps([QUERY.fingerprint, *tagged])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("count", COUNTS)
def test_a_forged_cursor_ends_in_an_error_of_ours(count: int) -> None:
    chance, given = random.Random(SEED), encode_cursor(QUERY, [7, "a"])
    for _ in range(count):
        cursor = forged(chance) if chance.random() < 0.5 else mutated(chance, given)
        try:
            values = decode_cursor(QUERY, cursor)
        except ConfigError:
            continue
        assert len(values) == 2


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '[["l",[1e400,0,0]]]', '["x",["f","0x1p999999"],["i",1e999]]', "", "x" * 10**6]
)
def test_a_cursor_that_breaks_its_decoder_ends_in_an_error_of_ours(text: str) -> None:
    with pytest.raises(ConfigError, match="the page cursor"):
        decode_cursor(QUERY, base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode())


@pytest.mark.parametrize("count", COUNTS)
def test_a_forged_token_is_refused(count: int) -> None:
    chance, given = random.Random(SEED), sign(Claim(cluster_digest("orders"), START, 2**31), KEY)
    for _ in range(count):
        token = mutated(chance, given)
        if token.rstrip("=") == given:
            continue
        try:
            claim = verify(token, KEY)
        except ConfigError:
            continue
        assert claim == verify(given, KEY), "base64 has several spellings of the same bytes"


@pytest.mark.parametrize("count", COUNTS)
def test_any_target_is_read_or_refused(count: int) -> None:
    chance, refused = random.Random(SEED), list[str]()
    given = ["postgresql://app:pass-word@db.example:5432/shop", "rds://app@orders/shop", "secretsmanager:prod/app/shop"]
    for _ in range(count):
        try:
            target = parse_target(mutated(chance, chance.choice(given)))
        except RdskitError as error:
            refused.append(str(error))
            continue
        for part in (target.user, target.password, target.database):
            assert part is None or "\x00" not in part
    assert [words for words in refused if "pass-word" in words] == []


@pytest.mark.parametrize("part", ["user%00x@h/d", "u:p%00@h/d", "u@h/d%00", "u%0aset@h/d", "u@h/d%1b[2J"])
def test_control_characters_in_a_url_are_refused(part: str) -> None:
    for scheme in ("postgresql", "mysql", "rds"):
        with pytest.raises(ConfigError, match="control character"):
            parse_target(f"{scheme}://{part}")
