"""The documentation names every command, every option and every error, and links to nothing that is not there."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import pytest
import typer

import rdskit
from rdskit import errors
from rdskit.cli.main import COMMANDS
from tests.docs.pages import PAGES, ROOT, local_links, runnable_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMON_OPTIONS = {"--help", "--data", "--json"}  # told once for all commands of a group
TARGET_OPTIONS = {"--credentials", "--tls", "--ca", "--cleartext-password"}  # told once for all commands that connect


def commands(name: str) -> Iterator[tuple[str, Any]]:
    """Yield each command below ``rdskit NAME``, with its words."""
    found: Any = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    if not hasattr(found, "commands"):
        yield f"rdskit {name}", found
        return
    for below, command in found.commands.items():
        yield f"rdskit {name} {below}", command


def section(heading: str) -> str:
    """Return the part of the command line's page below a heading, to the next heading of whatever level."""
    text = (ROOT / "docs/cli.md").read_text()
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section '{heading}'"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    for words, command in commands(name):
        told = section(words)
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert {option for option in options - COMMON_OPTIONS - TARGET_OPTIONS if option not in told} == set(), words


def test_the_options_of_a_target_are_documented_once() -> None:
    told = section("Options of a target")
    assert {option for option in TARGET_OPTIONS if f"| `{option}" not in told} == set()


def test_every_public_error_is_documented_and_nothing_else_is() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert told == set(errors.__all__)


def test_every_public_error_can_be_imported_from_the_package() -> None:
    assert set(errors.__all__) <= set(rdskit.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_creates_nothing_where_no_local_endpoint_is_set(page: Path) -> None:
    creating = [block for block in runnable_blocks(page) if "rds.create_" in block.code]
    assert [block.line for block in creating if 'os.environ["AWS_ENDPOINT_URL"]' not in block.code] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in local_links(page) if not target.exists()] == []


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs/index.md"
    pages = {page.resolve() for page in (ROOT / "docs").glob("*.md")} - {index}
    assert pages <= set(local_links(index))


def test_pages_do_run() -> None:
    assert {page.name for page in PAGES if runnable_blocks(page)} >= {"README.md", "quickstart.md", "local-rds.md"}
