"""Mutants of statements: what is left when an application forgets its predicates."""

from __future__ import annotations

import itertools
import re

_PREDICATE = re.compile(r"(?:\w+\.)?tenant_id = :tenant")


def without_predicates(statement: str) -> list[str]:
    """Return a statement with each choice of its predicates replaced by one that is always true."""
    found = list(_PREDICATE.finditer(statement))
    mutants = []
    for chosen in itertools.product((False, True), repeat=len(found)):
        text = statement
        for each, gone in reversed(list(zip(found, chosen, strict=True))):
            if gone:
                text = f"{text[: each.start()]}1 = 1{text[each.end() :]}"
        mutants.append(text)
    return mutants[1:]
