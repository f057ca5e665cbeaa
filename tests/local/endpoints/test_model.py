"""The messages between the daemon and the endpoint process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.endpoints.model import (
    Answer,
    Command,
    EndpointState,
    InternalAccount,
    Question,
    TokenVerdict,
    decode_order,
    decode_report,
    encode,
)

ACCOUNT = InternalAccount("rdsadmin", "the-password", iam_secret="the-iam-secret")
STATE = EndpointState("orders", Endpoint("127.80.0.1", 3306), "a.crt", "a.key", Endpoint("127.80.0.2", 40000), iam=True)


@pytest.mark.parametrize(
    "order",
    [
        Command(1, "orders", None, cut=False),
        Command(2, "orders", STATE, cut=True),
        Command(3, "orders", replace(STATE, backend=None, protocol="mysql", account=ACCOUNT, socket="/s"), cut=False),
        TokenVerdict(4),
        TokenVerdict(5, "a reason\nwith a second line"),
    ],
)
def test_orders_arrive_as_they_were_given(order: Command | TokenVerdict) -> None:
    line = encode(order)
    assert line.count(b"\n") == 1
    assert decode_order(line) == order


@pytest.mark.parametrize("report", [Answer(1), Answer(2, "taken"), Question(3, "orders", "jäne", "a\ntoken\0")])
def test_reports_arrive_as_they_were_given(report: Answer | Question) -> None:
    line = encode(report)
    assert line.count(b"\n") == 1
    assert decode_report(line) == report


def test_no_secret_is_shown() -> None:
    shown = repr(
        [Command(1, "orders", replace(STATE, account=ACCOUNT), cut=False), Question(2, "orders", "jane", "tok")]
    )
    assert "rdsadmin" in shown
    for secret in ("the-password", "the-iam-secret", "tok'"):
        assert secret not in shown
