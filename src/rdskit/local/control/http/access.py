"""Check the caller of a request: its origin, its signature, and the policies of the local IAM."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from moto.iam.models import iam_backends

from rdskit.local.control.iam.policy import Decision, decide, trusts
from rdskit.local.control.iam.principals import PARTITION, holder_of
from rdskit.local.control.iam.resources import action_of, resource_of
from rdskit.local.control.iam.signatures import Claim, Problem, SignatureError, check, claim_of
from rdskit.local.control.loopback import ADDRESS
from rdskit.local.control.services import ACCOUNT, is_region, service_of_signing_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rdskit.local.control.http.server import Request
    from rdskit.local.control.iam.principals import KeyHolder
    from rdskit.local.control.monitor import Monitor

__all__ = ["Access", "Caller", "foreign_page"]

_HOSTS: Final = frozenset({ADDRESS, "localhost"})
_HOST: Final = re.compile(r"([A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"https?://(.+)")
_UNSIGNED: Final = "AssumeRoleWithSAML"  # authenticated by the assertion, not by a signature (STS API Reference)
_NEXT_STEP: Final = 'run `eval "$(rdskit local env)"` for the keys of this local RDS'


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request, and the service and region that it calls.

    Attributes:
        service: the service that is called.
        region: the region of the call.
        account: the account of the caller.
        key_id: access key id; empty for a request without a signature.
        holder: holder of the key; None if signatures are not verified and the key is unknown.
    """

    service: str
    region: str
    account: str
    key_id: str
    holder: KeyHolder | None


def foreign_page(headers: Mapping[str, str]) -> str:
    """Return why a request is refused as one of a web page; empty if it is not.

    A page of another site can make a browser send requests to this address. With a DNS name that it controls it can
    even read the answers (DNS rebinding). Browsers do not let pages set the headers that are checked here.

    Args:
        headers: headers of the request, by name in lower case.
    """
    # Host holds the name that the browser resolved: with DNS rebinding that is the other site's name.
    host = _HOST.fullmatch(headers.get("host", ""))
    if host is None or host[1].lower() not in _HOSTS:
        allowed = " or ".join(sorted(_HOSTS))
        return f"the local RDS is not served as {headers.get('host', '')!r}: use {allowed}"
    origin = headers.get("origin")
    if origin is not None:
        page = _ORIGIN.fullmatch(origin)
        if page is None or page[1].lower() != headers["host"].lower():
            return f"the local RDS answers no web page of {origin!r}"
    # Requests without Origin, of images or links for example, still have Sec-Fetch-Site.
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return "the local RDS answers no web page of another site"
    return ""


class Access:
    """The check of signatures and permissions.

    Args:
        monitor: the control plane's monitor; held only to look up keys.
        verify: whether signatures are verified.
        enforce: whether policies of the local IAM are enforced.
        now: returns the time, with a zone.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        verify: bool = True,
        enforce: bool = False,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._monitor = monitor
        self._verify = verify
        self._enforce = enforce
        self._now = now

    def caller(self, request: Request, action: str, form: Mapping[str, str]) -> Caller:
        """Return the caller of a request.

        Args:
            request: the request as it was received.
            action: name of its action.
            form: its form fields, if it is a form.

        Raises:
            SignatureError: the request is not signed by a key of this local RDS.
        """
        head = request.head
        try:
            claim = claim_of(head.headers, head.query)
        except SignatureError as error:
            if error.problem is Problem.MISSING and action == _UNSIGNED:
                return self._federated(form)
            raise
        # The holder is a copy: the signature is verified outside the monitor, so a large body delays no other request.
        with self._monitor:
            holder = holder_of(claim.key_id)
        if self._verify:
            self._check(request, claim, holder)
        # moto raises KeyError for an unknown region, which the client would get as an internal failure.
        if not is_region(claim.region):
            message = f"Credential should be scoped to a valid region, not {claim.region!r}."
            raise SignatureError(Problem.MISMATCH, message)
        account = holder.account if holder else ACCOUNT
        return Caller(service_of_signing_name(claim.service), claim.region, account, claim.key_id, holder)

    def authorize(self, caller: Caller, action: str, parameters: Mapping[str, Any]) -> None:
        """Check a caller's policies, if they are enforced.

        Raises:
            SignatureError: no policy allows the action, or one denies it.
        """
        if not self._enforce or action == _UNSIGNED:
            return
        wanted, now = action_of(caller.service, action), self._now()
        resource = resource_of(caller.service, caller.region, caller.account, parameters)
        if caller.holder is None:
            raise SignatureError(Problem.DENIED, f"an unknown access key is not authorized to perform: {wanted}")
        context = {
            **caller.holder.context,
            "aws:currenttime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "aws:requestedregion": caller.region,
            "aws:sourceip": ADDRESS,
            "aws:securetransport": "false",
        }
        decision = decide(caller.holder.policies, wanted, resource, context)
        if decision is not Decision.ALLOWED:
            message = f"User: {caller.holder.arn} is not authorized to perform: {wanted} on resource: {resource}"
            raise SignatureError(Problem.DENIED, f"{message}, it is {decision.value}")

    def _check(self, request: Request, claim: Claim, holder: KeyHolder | None) -> None:
        if holder is None or not holder.active:
            raise SignatureError(
                Problem.UNKNOWN_KEY,
                f"The security token included in the request is invalid. The local RDS knows no active access key "
                f"{claim.key_id}: {_NEXT_STEP}.",
            )
        # The signature before the token and its expiry: only the holder of the secret learns about these.
        now, head = self._now(), request.head
        check(
            claim,
            holder.secret_access_key,
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=request.body,
            now=now,
        )
        if not holder.has_token(claim.session_token):
            raise SignatureError(Problem.UNKNOWN_KEY, "The security token included in the request is invalid.")
        if holder.expired(now):
            raise SignatureError(Problem.EXPIRED, "The security token included in the request is expired")

    def _federated(self, form: Mapping[str, str]) -> Caller:
        """Return the caller of a SAML assertion, if the trust policy of the role names the provider."""
        role_arn, provider = form.get("RoleArn", ""), form.get("PrincipalArn", "")
        if self._verify:
            with self._monitor:
                iam = iam_backends[ACCOUNT][PARTITION]
                role = next((each for each in iam.roles.values() if each.arn == role_arn), None)
                known = provider in [each.arn for each in iam.saml_providers.values()]
                document = role.assume_role_policy_document if role else ""
            if not known or not trusts(document, f"sts:{_UNSIGNED}", provider):
                raise SignatureError(
                    Problem.DENIED,
                    f"Not authorized to perform sts:{_UNSIGNED}: make the SAML provider {provider!r} and a role "
                    f"{role_arn!r} whose trust policy names it",
                )
        # The XML signature of the assertion is verified neither here nor by moto.
        return Caller("sts", "us-east-1", ACCOUNT, "", None)
