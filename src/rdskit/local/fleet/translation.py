"""Parameter groups as RDS has them, on their way to a real server."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import dataclass
from typing import Final

_FORMULA: Final = re.compile(r"\{|^\s*(GREATEST|LEAST|SUM|log)\s*\(", re.IGNORECASE)
_TRUE: Final = ("1", "on", "true", "yes")


@dataclass(frozen=True, slots=True)
class Translation:
    """A parameter group for a local server.

    Attributes:
        settings: for the server. RDS gives numbers in the unit that the server assumes, so they need no change.
        require_tls: the endpoint refuses sessions in the clear.
        ignored: parameter → why it has no effect here.
    """

    settings: Mapping[str, str]
    require_tls: bool
    ignored: Mapping[str, str]


def why_formula_is_ignored(value: str) -> str:
    """Why a value is not passed on, if it is one of RDS's formulas; else empty."""
    if _FORMULA.search(value):
        return f"the formula {value} depends on an instance class, which a local server has not: the default stays"
    return ""


def is_on(parameters: Mapping[str, str], name: str) -> bool:
    """Whether a boolean parameter is set and true."""
    return parameters.get(name, "0").strip().lower() in _TRUE
