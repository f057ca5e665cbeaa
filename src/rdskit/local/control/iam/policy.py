"""Decide whether IAM policies permit an action on a resource: an explicit deny, else an allow, else an implicit deny.

Source: AWS, "Policy evaluation logic" and "IAM JSON policy elements reference". moto's own evaluation is not used: it
matches ``.`` with any character, ignores ``NotResource``, and treats a condition that does not hold as a deny.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

__all__ = ["Decision", "Policies", "decide", "trusts"]


class Decision(Enum):
    """The result of evaluating policies."""

    ALLOWED = "allowed"
    DENIED = "denied by a policy"
    NOT_ALLOWED = "allowed by no policy"


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one principal, as JSON texts.

    Attributes:
        identity: policies of the user and its groups, or of the role.
        limits: further sets, each of which must allow the action too: a permissions boundary, a session policy.
    """

    identity: tuple[str, ...]
    limits: tuple[tuple[str, ...], ...] = ()


def decide(policies: Policies, action: str, resource: str, context: Mapping[str, str]) -> Decision:
    """Decide whether a principal may do something.

    Args:
        policies: policies of the principal.
        action: such as ``rds-db:connect``.
        resource: the resource's ARN.
        context: condition keys in lower case (``aws:username``) and their values.
    """
    # The result is the intersection: every set must allow, and a deny in any set wins.
    sets = [_decide_set(each, action, resource, context) for each in (policies.identity, *policies.limits)]
    if Decision.DENIED in sets:
        return Decision.DENIED
    return Decision.NOT_ALLOWED if Decision.NOT_ALLOWED in sets else Decision.ALLOWED


def _decide_set(documents: tuple[str, ...], action: str, resource: str, context: Mapping[str, str]) -> Decision:
    allowed = False
    for document in documents:
        for statement in _listed(json.loads(document).get("Statement")):
            denies = statement.get("Effect") == "Deny"
            # A deny ends the search, an allow does not: a later statement may still deny.
            if not _applies(statement, action, resource, context):
                continue
            if _conditions_hold(statement.get("Condition") or {}, context, unknown=denies):
                if denies:
                    return Decision.DENIED
                allowed = True
    return Decision.ALLOWED if allowed else Decision.NOT_ALLOWED


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    # Actions ignore case and have no policy variables. Resources are the opposite.
    def matches_action(pattern: str) -> bool:
        return _matches(pattern.lower(), action.lower(), {})

    def matches_resource(pattern: str) -> bool:
        return _matches(pattern, resource, context)

    return _element(statement, "Action", matches_action) and _element(statement, "Resource", matches_resource)


def _element(statement: Mapping[str, Any], name: str, matches: Callable[[str], bool]) -> bool:
    if name in statement:
        return any(map(matches, _listed(statement[name])))
    inverted = f"Not{name}"
    return inverted in statement and not any(map(matches, _listed(statement[inverted])))


def _matches(pattern: str, text: str, context: Mapping[str, str]) -> bool:
    return re.fullmatch(_regex(pattern, context), text, re.DOTALL) is not None


_PIECES: Final = re.compile(
    r"\$\{(?P<name>[^},]+)(?:,\s*'(?P<default>[^']*)')?\}|(?P<wildcard>[*?])|(?P<other>.)", re.DOTALL
)
_WILDCARDS: Final = {"*": ".*", "?": "."}
_NEVER: Final = "(?!)"


def _regex(pattern: str, context: Mapping[str, str]) -> str:
    """Return a policy's pattern as a regular expression; a variable without a value matches nothing."""

    def translated(piece: re.Match[str]) -> str:
        if piece["wildcard"]:
            return _WILDCARDS[piece["wildcard"]]
        if piece["other"]:
            return re.escape(piece["other"])
        # ${*}, ${?} and ${$} stand for the characters themselves.
        if piece["name"] in {"*", "?", "$"}:
            return re.escape(piece["name"])
        default: str | None = piece["default"]
        value = context.get(piece["name"].lower(), default)
        return _NEVER if value is None else re.escape(value)

    return _PIECES.sub(translated, pattern)


_Comparison = Callable[[str, str, Mapping[str, str]], bool]
_COMPARISONS: Final[dict[str, _Comparison]] = {
    "StringEquals": lambda wanted, found, _: wanted == found,
    "StringEqualsIgnoreCase": lambda wanted, found, _: wanted.lower() == found.lower(),
    "StringLike": _matches,
    "ArnEquals": _matches,
    "ArnLike": _matches,
    "Bool": lambda wanted, found, _: wanted.lower() == found.lower(),
    # ISO 8601 in UTC, as AWS writes it: texts of one form sort like their dates.
    "DateLessThan": lambda wanted, found, _: found < wanted,
    "DateLessThanEquals": lambda wanted, found, _: found <= wanted,
    "DateGreaterThan": lambda wanted, found, _: found > wanted,
    "DateGreaterThanEquals": lambda wanted, found, _: found >= wanted,
}


def _conditions_hold(conditions: Mapping[str, Any], context: Mapping[str, str], *, unknown: bool) -> bool:
    """Return whether every condition holds; an unsupported one counts as ``unknown``."""
    # The caller passes True for a deny and False for an allow, so an operator that is not supported never grants
    # access.
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            held = _condition_holds(operator, key.lower(), [str(each) for each in _listed(wanted)], context)
            if not (unknown if held is None else held):
                return False
    return True


def _condition_holds(operator: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool | None:
    found = context.get(key)
    if operator == "Null":
        return (found is None) == (wanted[0].lower() == "true")
    optional, operator = operator.endswith("IfExists"), operator.removesuffix("IfExists")
    negated = "Not" in operator
    compare = _COMPARISONS.get(operator.replace("Not", ""))
    if compare is None:
        return None
    # A missing key: IfExists holds, a negated operator holds, any other one does not.
    if found is None:
        return optional or negated
    # Several values are alternatives. A negated operator holds if none of them matches.
    return any(compare(each, found, context) for each in wanted) != negated


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def trusts(document: str, action: str, provider: str) -> bool:
    """Return whether a role's trust policy accepts the users of an identity provider.

    Args:
        document: the trust policy, as JSON.
        action: such as ``sts:AssumeRoleWithSAML``.
        provider: the ARN of the provider.
    """
    try:
        statements = _listed(json.loads(document).get("Statement"))
    except (ValueError, AttributeError):
        return False
    # Conditions are not evaluated: they compare attributes of the SAML assertion, which is not parsed here.
    allowed = False
    for statement in statements:
        principal = statement.get("Principal")
        federated = _listed(principal.get("Federated")) if isinstance(principal, dict) else []
        named = any(_matches(pattern.lower(), action.lower(), {}) for pattern in _listed(statement.get("Action")))
        if provider in federated and named:
            if statement.get("Effect") != "Allow":
                return False
            allowed = True
    return allowed
