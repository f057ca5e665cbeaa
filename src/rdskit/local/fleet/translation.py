"""Translate RDS parameter groups into settings of a real server. Shared by all engines."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import dataclass
from typing import Final

# RDS formulas: ``{DBInstanceClassMemory/9531392}`` in braces, or one of its four functions at the start. Source: RDS
# User Guide, "Specifying DB parameters".
_FORMULA: Final = re.compile(r"\{|^\s*(GREATEST|LEAST|SUM|log)\s*\(", re.IGNORECASE)
_TRUE: Final = ("1", "on", "true", "yes")


@dataclass(frozen=True, slots=True)
class Translation:
    """Parameter group translated for a local server.

    Attributes:
        settings: for the server. RDS gives numbers in the server's own default unit, so values pass through unchanged.
        require_tls: whether the endpoint refuses sessions without TLS.
        ignored: parameter → why it has no effect here.
    """

    settings: Mapping[str, str]
    require_tls: bool
    ignored: Mapping[str, str]


def why_formula_is_ignored(value: str) -> str:
    """Return why a formula of RDS is not passed on; empty for any other value."""
    if _FORMULA.search(value):
        return f"the formula {value} depends on an instance class, which a local server has not: the default stays"
    return ""


def is_on(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether a boolean parameter is set and true."""
    return parameters.get(name, "0").strip().lower() in _TRUE
