"""Describe the parameters of MySQL and MariaDB in RDS's terms, from what their servers report."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rdskit.local.control.rds.parameters import Parameter
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.mysql.variables import Variable, describe
from rdskit.local.fleet.mysql.parameters import KEPT_BY_RDS, REQUIRE_TLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.local.engines.mysql.installations import Installation

__all__ = ["parameters_of"]

_KINDS: Final = {"boolean": "boolean", "integer": "integer", "unsigned": "integer", "int": "integer", "double": "float"}
_REQUIRE_TLS: Final = Parameter(
    REQUIRE_TLS, "Require sessions to be encrypted.", False, "boolean", None, "0,1", True, "system", "0"
)


def parameters_of(installation: Installation, cache: Path) -> Mapping[str, Parameter]:
    """Return every parameter of an installed server, by name. A server is asked once, and its answer is kept.

    Args:
        installation: the installed server.
        cache: an existing directory for the answers.

    Raises:
        LocalError: the server does not start.
    """
    # Product and version are in the name: another installation is asked again. Asking starts a server, which takes
    # seconds.
    file = cache / f"{installation.product.lower()}-{installation.version}.variables.json"
    if not file.exists():
        variables = _ask(installation, cache)
        write_whole(file, json.dumps([asdict(each) for each in variables]))
    known = [_variable(fields) for fields in json.loads(file.read_text(encoding="utf-8"))]
    return {each.name: _parameter(each) for each in known} | {REQUIRE_TLS: _REQUIRE_TLS}


def _ask(installation: Installation, cache: Path) -> list[Variable]:
    run = throwaway_mariadb if installation.product == "MariaDB" else throwaway_mysql
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=cache))
        return describe(stack.enter_context(run(Path(directory), installation=installation)))


def _variable(fields: dict[str, object]) -> Variable:
    limits, choices = fields.pop("limits"), fields.pop("choices")
    assert isinstance(choices, list)
    bounds = (float(limits[0]), float(limits[1])) if isinstance(limits, list) else None
    return Variable(**fields, limits=bounds, choices=tuple(choices))  # type: ignore[arg-type]  # as it was written


def _parameter(variable: Variable) -> Parameter:
    kind = next((ours for theirs, ours in _KINDS.items() if theirs in variable.kind), "string")
    limits = variable.limits if kind in ("integer", "float") else None
    return Parameter(
        name=variable.name,
        description=variable.description,
        static=not variable.dynamic,
        data_type=kind,
        limits=limits,
        allowed_values=_allowed(variable, kind, limits),
        modifiable=not KEPT_BY_RDS.fullmatch(variable.name),
        choices=tuple(each.lower() for each in variable.choices) if variable.kind == "enum" else (),
    )


def _allowed(variable: Variable, kind: str, limits: tuple[float, float] | None) -> str | None:
    if kind == "boolean":
        return "0,1"
    if limits:
        return f"{limits[0]:.0f}-{limits[1]:.0f}"
    return ",".join(variable.choices) or None
