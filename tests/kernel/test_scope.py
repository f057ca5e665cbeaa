"""A scope as a value, and as the statements that put a session into it."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.scope import NO_SCOPE, Scope, change_on_postgres, set_up_on_mysql

ALL = Scope(tenant="o'hara", role="app", schema='a"b`c')


def test_a_scope_is_a_value() -> None:
    assert {Scope("a"): 1}[Scope(tenant="a")] == 1
    assert Scope("a") != Scope(role="a")
    assert str(ALL) == "tenant=o'hara role=app schema=a\"b`c"
    assert str(NO_SCOPE) == "no scope"


@pytest.mark.parametrize("value", ["", "a\0b"])
@pytest.mark.parametrize("part", ["tenant", "role", "schema"])
def test_what_no_server_could_take_is_refused(part: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"is not a {part}: give a text"):
        Scope(**{part: value})


def test_postgres_changes_scope_in_one_text() -> None:
    schema = 'set search_path to "a""b`c"'
    assert change_on_postgres(NO_SCOPE, ALL) == f"{schema}; set rdskit.tenant to E'o''hara'; set role \"app\""
    assert change_on_postgres(ALL, Scope("o'hara", "other")) == 'reset role; reset search_path; set role "other"'
    assert change_on_postgres(Scope("a"), Scope("\\'")) == "set rdskit.tenant to E'\\\\'''"
    assert change_on_postgres(ALL, NO_SCOPE) == "reset role; reset search_path; set rdskit.tenant to ''"
    assert change_on_postgres(Scope(role="a"), Scope("b", role="a")).startswith("reset role; ")


def test_names_and_values_are_quoted_on_mysql() -> None:
    assert set_up_on_mysql(NO_SCOPE) == ()
    assert set_up_on_mysql(ALL) == ("set @rdskit_tenant = 'o''hara'", 'use `a"b``c`', "set role `app`")
    assert set_up_on_mysql(Scope("\\'")) == ("set @rdskit_tenant = '\\\\'''",)
