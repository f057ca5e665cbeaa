"""What an identity provider answers to a login."""

from __future__ import annotations

import base64
from typing import Any


def saml_request(session: str) -> dict[str, Any]:
    """Return a request with an identity provider's assertion."""
    role, provider = "arn:aws:iam::123456789012:role/federated", "arn:aws:iam::123456789012:saml-provider/idp"
    attributes = {"Role": f"{role},{provider}", "RoleSessionName": session, "SessionDuration": "900"}
    told = "".join(
        f'<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/{name}">'
        f"<saml:AttributeValue>{value}</saml:AttributeValue></saml:Attribute>"
        for name, value in attributes.items()
    )
    assertion = (
        '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
        'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Assertion><saml:AttributeStatement>'
        f"{told}</saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )
    encoded = base64.b64encode(assertion.encode()).decode()
    return {"RoleArn": role, "PrincipalArn": provider, "SAMLAssertion": encoded}
