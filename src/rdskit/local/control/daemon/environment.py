"""Build the environment variables that point AWS SDKs and rdskit at a local RDS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rdskit.local.control.iam.keypair import KeyPair

__all__ = ["REGION", "client_environment", "without_proxies"]

REGION: Final = "eu-west-1"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_TOKENS: Final = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def client_environment(endpoint: str, pair: KeyPair, authority: Path, present: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that point AWS SDKs of every language, and rdskit, at a local RDS.

    Args:
        endpoint: URL of the AWS API.
        pair: key pair of the callers.
        authority: PEM file of the certificate authority.
        present: the environment to extend. Its exceptions from a proxy are kept. A session token in it would belong to
            other keys, so it becomes empty.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": pair.access_key_id,
        "AWS_SECRET_ACCESS_KEY": pair.secret_access_key,
        **{name: "" for name in _TOKENS if present.get(name)},
        "AWS_REGION": REGION,  # the SDKs for JavaScript, Go and Rust read this one
        "AWS_DEFAULT_REGION": REGION,
        "RDSKIT_CA": str(authority),
        "NODE_EXTRA_CA_CERTS": str(authority),
        **without_proxies(present),
    }


def without_proxies(present: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that exclude this machine's own addresses from a proxy.

    Args:
        present: the environment whose exceptions are kept. Programs prefer different spellings, so both get the same
            value.
    """
    listed = [part.strip() for name in ("no_proxy", "NO_PROXY") for part in present.get(name, "").split(",")]
    hosts = ",".join(dict.fromkeys(host for host in (*listed, *_LOOPBACK) if host))
    return {"NO_PROXY": hosts, "no_proxy": hosts}
