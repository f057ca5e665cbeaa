"""Every command that connects takes the options of a target, and errors name options."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from rdskit.cli.main import COMMANDS, app
from rdskit.cli.targets import in_options
from tests.drivers import rogue
from tests.drivers.test_connect_deadlines import PASSWORD
from tests.drivers.test_password_exposure import CLEAR_REQUEST, Greedy, given_away, postgres

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Iterator

OPTIONS = {"--credentials", "--tls", "--ca", "--cleartext-password"}
REFUSAL = b"E\0\0\0\x17SFATAL\0C28P01\0Mno\0\0"
WAYS = {
    "setup": ["setup"],
    "check": ["check"],
    "topology": ["topology"],
    "top": ["top", "--once"],
    "migrate": ["migrate", "status"],
}


def commands() -> Iterator[tuple[str, Any]]:
    for name, (module, _) in COMMANDS.items():
        found: Any = typer.main.get_command(importlib.import_module(module).app)
        for below, command in getattr(found, "commands", {"": found}).items():
            yield f"{name} {below}".strip(), command


def test_every_command_that_connects_takes_them() -> None:
    connecting = {
        words: {option for parameter in command.params for option in parameter.opts}
        for words, command in commands()
        if {"target", "--journal"} & {option for parameter in command.params for option in parameter.opts}
    }
    assert {*WAYS, "migrate up", "migrate lint", "jobs undo"} - {"migrate"} <= set(connecting)
    assert {words: OPTIONS - options for words, options in connecting.items() if OPTIONS - options} == {}


@pytest.mark.parametrize("way", WAYS)
def test_the_clear_password_needs_its_option_and_the_error_names_it(way: str) -> None:
    greedy = Greedy()
    ask = postgres(greedy, [CLEAR_REQUEST])

    def ask_and_refuse(peer: socket.socket, end: threading.Event) -> None:
        ask(peer, end)
        peer.sendall(REFUSAL)

    with rogue.rogue(ask_and_refuse) as endpoint:
        arguments = [*WAYS[way], f"postgresql://app:{PASSWORD}@{endpoint}/shop", "--tls", "off"]
        refused = CliRunner().invoke(app, arguments)
        before = given_away(greedy.received)
        CliRunner().invoke(app, [*arguments, "--cleartext-password"])
    assert refused.exit_code == 1
    assert "pass --tls verify-full, the default, or --cleartext-password" in refused.output
    assert before == []
    assert given_away(greedy.received) != []


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("pass tls='verify-full', the default, not 'off'", "pass --tls verify-full, the default, not 'off'"),
        ("tls='of f' is not known", "--tls 'of f' is not known"),
        ("pass ca=PATH or set RDSKIT_CA", "pass --ca PATH or set RDSKIT_CA"),
        ("credentials='iam' with tls='off' would", "--credentials iam with --tls off would"),
        ("set DB_USER, or pass credentials=", "set DB_USER, or pass --credentials"),
        ("or cleartext_password=True", "or --cleartext-password"),
        ("in postgresql://db/shop?tls=off&ca=x or ssl_ca=x", "in postgresql://db/shop?tls=off&ca=x or ssl_ca=x"),
        ("--credentials secretsmanager:ID", "--credentials secretsmanager:ID"),
    ],
)
def test_arguments_become_options(told: str, shown: str) -> None:
    assert in_options(told) == shown
