"""Define engine parameters in RDS's terms, and read those of PostgreSQL from its own program.

``postgres --describe-config`` prints every parameter with its context, type and range. Only the parameters of RDS
itself, and those that the local RDS reserves for replication, are listed by hand.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError
from rdskit.local.fleet.postgres.parameters import KEPT_BY_RDS, LIBRARIES, LIBRARY_LISTS, TEXTS, refused_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rdskit.local.engines.postgres.providers import Binaries

__all__ = ["Assignment", "Parameter", "check_assignment", "family_of", "major_of", "parameters_of", "parse_description"]

_TYPES = {"BOOLEAN": "boolean", "INTEGER": "integer", "REAL": "float", "STRING": "string", "ENUM": "string"}
# RDS User Guide, "Specifying DB parameters": formulas and functions over variables of the instance.
_FORMULA = re.compile(
    r"(GREATEST|LEAST|SUM)?[({][A-Za-z0-9_*/+(){}., -]*"
    r"(AllocatedStorage|DBInstanceClassMemory|DBInstanceVCPU|EndPointPort|TrueIfReplica)[A-Za-z0-9_*/+(){}., -]*[)}]"
)
_AVAILABLE = re.compile(r"Available values: (.*)\.")
_LONGEST_VALUE = 4000
_FIELDS = 9  # columns of --describe-config; the last one, a longer description, may be missing
_BOOLEANS = frozenset({"1", "on", "true", "yes", "0", "off", "false", "no"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One engine parameter."""

    name: str
    description: str
    static: bool
    data_type: str
    limits: tuple[float, float] | None
    allowed_values: str | None
    modifiable: bool
    source: str = "engine-default"
    value: str | None = None
    choices: tuple[str, ...] = ()

    def described(self, assignment: Assignment | None) -> dict[str, object]:
        """Return the parameter as DescribeDBParameters shows it."""
        return {
            "ParameterName": self.name,
            "ParameterValue": assignment.value if assignment else self.value,
            "Description": self.description,
            "Source": "user" if assignment else self.source,
            "ApplyType": "static" if self.static else "dynamic",
            "DataType": self.data_type,
            "AllowedValues": self.allowed_values,
            "IsModifiable": self.modifiable,
            "ApplyMethod": assignment.method if assignment else "pending-reboot",
        }


@dataclass(frozen=True, slots=True)
class Assignment:
    """A parameter's value in a parameter group.

    Attributes:
        method: ``immediate`` or ``pending-reboot``.
    """

    name: str
    value: str
    method: str


_OF_RDS = (
    Parameter("rds.force_ssl", "Force SSL connections.", False, "boolean", None, "0,1", True, "system", "0"),
    Parameter(
        "rds.logical_replication", "Enables logical decoding.", True, "boolean", None, "0,1", True, "system", "0"
    ),
)


def major_of(engine: str, version: str) -> str:
    """Return the major version: ``18`` of PostgreSQL 18.6, ``10.11`` of MariaDB 10.11.14."""
    numbers = 1 if engine in ("postgres", "aurora-postgresql") else 2
    return ".".join(version.split(".")[:numbers])


def family_of(engine: str, version: str) -> str:
    """Return the parameter group family of an engine version, such as ``postgres18`` or ``mysql8.4``."""
    return f"{engine}{major_of(engine, version)}"


@lru_cache(maxsize=8)
def parameters_of(binaries: Binaries) -> Mapping[str, Parameter]:
    """Return every parameter of an installed PostgreSQL, by name.

    Raises:
        LocalError: the program of the server cannot be run.
    """
    command = [binaries.program("postgres"), "--describe-config"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise LocalError(f"{command[0]} --describe-config failed: {answer.stderr.strip()}")
    with tempfile.TemporaryDirectory() as directory:
        # postgres -C wants a data directory with a configuration file. An empty file is enough.
        (Path(directory) / "postgresql.conf").touch()
        return parse_description(answer.stdout, lambda name: _choices(command[0], directory, name))


def parse_description(text: str, choices: Callable[[str], tuple[str, ...]] = lambda _: ()) -> dict[str, Parameter]:
    """Read what ``postgres --describe-config`` prints: one tab-separated line for each parameter.

    Args:
        text: the output.
        choices: returns the values of an enumerated parameter, which the output does not have.
    """
    rows = (line.split("\t") for line in text.splitlines())
    described = [_of_row(row, choices) for row in rows if len(row) >= _FIELDS - 1]
    return {each.name: each for each in (*described, *_OF_RDS)}


def check_assignment(parameter: Parameter | None, assignment: Assignment) -> None:
    """Refuse a value that RDS refuses for a parameter group.

    Raises:
        InvalidValueError: there is no such parameter, or the value is outside its range.
        InvalidCombinationError: a static parameter cannot change at once.
    """
    if parameter is None:
        raise InvalidValueError(f"Could not find parameter with name: {assignment.name}")
    if not parameter.modifiable:
        raise InvalidValueError(f"The parameter {assignment.name} cannot be modified.")
    if assignment.method not in ("immediate", "pending-reboot"):
        raise InvalidValueError(f"Invalid apply method {assignment.method!r}: use immediate or pending-reboot.")
    if parameter.static and assignment.method == "immediate":
        raise InvalidCombinationError(f"cannot use immediate apply method for static parameter {assignment.name}")
    if len(assignment.value) > _LONGEST_VALUE:
        raise InvalidValueError(f"The value of {assignment.name} is longer than {_LONGEST_VALUE} characters.")
    # Text parameters can name libraries, files and commands: only known ones are accepted, with checked values.
    if reason := refused_text(assignment.name, assignment.value):
        raise InvalidValueError(f"Invalid parameter value for {assignment.name}: {reason}")
    if not _fits(parameter, assignment.value):
        allowed = f" Allowed values are {parameter.allowed_values}." if parameter.allowed_values else ""
        raise InvalidValueError(f"Invalid parameter value: {assignment.value} for: {assignment.name}.{allowed}")


def _choices(program: str, directory: str, name: str) -> tuple[str, ...]:
    """Return the values of an enumerated parameter, which the server lists in its error for an invalid one."""
    # -C must be the first option: only then does the server start as root. In the locale C the hint is in English.
    command = [program, "-C", name, "-D", directory, "-c", f"{name}=?"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
    found = _AVAILABLE.search(answer.stderr)
    return tuple(each.strip() for each in found[1].split(",")) if found else ()


def _of_row(row: list[str], choices: Callable[[str], tuple[str, ...]]) -> Parameter:
    name, context, _, kind, _, least, most, *texts = row
    name = name.lower()  # as on RDS; the server ignores case
    ranged = kind in ("INTEGER", "REAL") and least and most
    listed = name in TEXTS
    libraries = ",".join(sorted(LIBRARIES)) if name in LIBRARY_LISTS else None
    chosen = choices(name) if kind == "ENUM" else ()
    return Parameter(
        name=name,
        description=" ".join(part for part in texts if part),
        static=context == "postmaster",  # can be set at server start only (PostgreSQL, view pg_settings)
        data_type=_TYPES[kind],
        limits=(float(least), float(most)) if ranged else None,
        allowed_values="0,1" if kind == "BOOLEAN" else f"{least}-{most}" if ranged else ",".join(chosen) or libraries,
        modifiable=context != "internal" and not KEPT_BY_RDS.fullmatch(name) and (kind != "STRING" or listed),
        choices=chosen and (*chosen, *_BOOLEANS) if "on" in chosen else chosen,
    )


def _fits(parameter: Parameter, value: str) -> bool:
    if parameter.data_type == "boolean":
        return value.lower() in _BOOLEANS
    if parameter.data_type == "integer":
        # A formula such as {DBInstanceClassMemory/32768} is accepted; the fleet evaluates it.
        whole = re.fullmatch(r"-?[0-9]{1,20}", value) and _in_range(parameter, float(value))
        return bool(_FORMULA.fullmatch(value) or whole)
    if parameter.data_type == "float":
        return bool(re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", value)) and _in_range(parameter, float(value))
    return not parameter.choices or value.lower() in parameter.choices


def _in_range(parameter: Parameter, value: float) -> bool:
    return parameter.limits is None or parameter.limits[0] <= value <= parameter.limits[1]
