"""Probe a database server below any driver: DNS, TCP, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING, Any

from rdskit.operate.observe.diagnosis import Finding, Obstacle
from rdskit.operate.observe.negotiation import ask_for_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.targets import Engine

_EXPIRES_SOON = 30  # days before a certificate's end from which there is a warning

# OpenSSL's verify codes (x509_vfy.h)
_MISMATCHES = frozenset({62, 64})
_UNKNOWN_AUTHORITIES = frozenset({18, 19, 20, 21})


async def probe_dns(endpoint: Endpoint) -> Finding:
    """Resolve the host's addresses.

    Raises:
        Obstacle: the name does not resolve.
    """
    with contextlib.suppress(ValueError):  # raised for a name, which is the usual case
        ipaddress.ip_address(endpoint.host)
        return Finding(f"{endpoint.host} is an address; there is no name to look up")
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Obstacle(
            f"{endpoint.host} does not resolve: {error.strerror}",
            "check the spelling and the region of the endpoint; the name of an instance without public access "
            "leads to a private address that only its VPC can reach",
        ) from error
    addresses = sorted({str(answer[4][0]) for answer in answers})
    return Finding(f"{endpoint.host} → {', '.join(addresses)}")


async def probe_tcp(endpoint: Endpoint) -> Finding:
    """Open a TCP connection and close it again.

    Raises:
        Obstacle: the host does not answer, or refuses.
    """
    async with connected(endpoint) as (_, writer):
        local = writer.get_extra_info("sockname")[0]
    return Finding(f"{endpoint} accepts connections from {local}")


async def probe_tls(endpoint: Endpoint, engine: Engine, context: ssl.SSLContext | None) -> Finding:
    """Request TLS from the server and complete the handshake.

    Args:
        endpoint: the server.
        engine: the expected engine.
        context: how to verify; None if TLS is off.

    Raises:
        Obstacle: the server has no TLS, or its certificate is refused.
    """
    if context is None:
        return Finding("TLS is off: the connection is not encrypted", "use tls='verify-full', which is the default")
    async with connected(endpoint) as (reader, writer):
        await ask_for_tls(endpoint, engine, reader, writer)
        try:
            await writer.start_tls(context, server_hostname=endpoint.host)
        except ssl.SSLCertVerificationError as error:
            raise _refused_certificate(endpoint, error) from error
        except (ssl.SSLError, ConnectionError) as error:
            raise Obstacle(
                f"the TLS handshake with {endpoint} failed: {error}",
                "check that no proxy in between answers for the server, and that its TLS version is supported",
            ) from error
        protocol = writer.get_extra_info("ssl_object").version()
        return _certificate(protocol, writer.get_extra_info("peercert"), dt.datetime.now(dt.UTC))


@contextlib.asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a plain TCP connection, and close it after the block.

    Raises:
        Obstacle: the host does not answer, or refuses.
    """
    try:
        reader, writer = await asyncio.open_connection(*endpoint)
    except ConnectionRefusedError as error:
        raise Obstacle(
            f"nothing listens on {endpoint}",
            "check the port, and that the instance is available: a stopped or failing-over instance refuses",
        ) from error
    except OSError as error:
        raise Obstacle(
            f"{endpoint} cannot be reached: {error.strerror or error}",
            "check routes and the security group: it must let this machine in",
        ) from error
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the connection is not used any more
            await writer.wait_closed()


def _refused_certificate(endpoint: Endpoint, error: ssl.SSLCertVerificationError) -> Obstacle:
    if error.verify_code in _MISMATCHES:
        advice = "connect by the name that RDS gives as the endpoint; an alias or an address is not in the certificate"
    elif error.verify_code in _UNKNOWN_AUTHORITIES:
        advice = 'name the authority\'s PEM file: --ca PATH or RDSKIT_CA; for the local RDS: eval "$(rdskit local env)"'
    else:
        advice = "check this machine's clock, and whether the server's certificate has to be renewed"
    return Obstacle(f"the certificate of {endpoint} is refused: {error.verify_message}", advice)


def _certificate(protocol: str, certificate: dict[str, Any] | None, now: dt.datetime) -> Finding:
    if not certificate:
        return Finding(f"{protocol}, certificate not verified", "use tls='verify-full', which is the default")
    end = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), dt.UTC)
    names = ", ".join(str(value) for _, value in certificate.get("subjectAltName", ()))
    words = f"{protocol}, certificate for {names or 'no name'} verified, valid until {end:%Y-%m-%d}"
    days = (end - now).days
    return Finding(words, f"renew the certificate: it ends in {days} days" if days < _EXPIRES_SOON else None)
