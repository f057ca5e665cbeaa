"""Ids and names of tenants."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.scale.tenancy.policy import checked_id, checked_template, rendered


@pytest.mark.parametrize("tenant", ["acme", "a", "7", 7, "a-b_c9", "x" * 48])
def test_ids_that_are_the_same_everywhere(tenant: str | int) -> None:
    assert checked_id(tenant) == str(tenant)


@pytest.mark.parametrize(
    "tenant",
    ["", "Acme", "a b", "../x", "a'b", 'a"b', "-a", "a-", "é", "x" * 49, "a\0", "a\n", None, True, -1, b"a", 1.5],
)
def test_ids_that_are_refused(tenant: object) -> None:
    with pytest.raises(ConfigError, match="tenant id"):
        checked_id(tenant)


@pytest.mark.parametrize("template", ["tenant", "{id}{id}", "{id}{x}", "{id!r}", "{0}", "t" * 20 + "{id}"])
def test_templates_that_are_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="schema="):
        checked_template("schema", template)


def test_a_template_gives_a_name() -> None:
    assert rendered(checked_template("schema", "tenant_{id}"), "acme") == "tenant_acme"
