"""The local certificate authority: created once, its certificates verify against its own file only."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from rdskit.local.certificates import LocalAuthority, ServerCertificate

if TYPE_CHECKING:
    from pathlib import Path


def handshake(files: ServerCertificate, ca: Path, host: str) -> str:
    """Return the TLS version that a server with these files and a client that verifies ``host`` agree on."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(ca))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server_context.wrap_socket(theirs, server_side=True).close()
        except ssl.SSLError:  # the client refused: it tells the reason itself
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with client_context.wrap_socket(ours, server_hostname=host) as client:
            return str(client.version())
    finally:
        ours.close()
        server.join()


def test_a_certificate_verifies_for_its_address_and_no_other(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    files = authority.issue(tmp_path / "endpoints", "db-1", ["127.0.0.9", "orders.local"])
    assert handshake(files, authority.ensure(), "127.0.0.9") == "TLSv1.3"
    assert handshake(files, authority.ensure(), "orders.local") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(files, authority.ensure(), "127.0.0.8")


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    files = LocalAuthority(tmp_path / "one").issue(tmp_path, "db-1", ["127.0.0.9"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, LocalAuthority(tmp_path / "two").ensure(), "127.0.0.9")


def test_keys_are_private(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    files = authority.issue(tmp_path, "db-1", ["127.0.0.9"])
    for key in (tmp_path / "ca.key", files.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_asking_again_changes_nothing_until_the_hosts_change(tmp_path: Path) -> None:
    first = LocalAuthority(tmp_path)
    ca = first.ensure().read_bytes()
    files = first.issue(tmp_path, "db-1", ["127.0.0.9"])
    before = files.certificate.read_bytes()
    again = LocalAuthority(tmp_path)
    assert again.ensure().read_bytes() == ca
    assert again.issue(tmp_path, "db-1", ["127.0.0.9"]).certificate.read_bytes() == before
    assert again.issue(tmp_path, "db-1", ["127.0.0.10"]).certificate.read_bytes() != before


def test_a_certificate_of_a_lost_authority_is_issued_again(tmp_path: Path) -> None:
    LocalAuthority(tmp_path).issue(tmp_path, "db-1", ["127.0.0.9"])
    (tmp_path / "ca.key").unlink()
    authority = LocalAuthority(tmp_path)
    files = authority.issue(tmp_path, "db-1", ["127.0.0.9"])
    assert handshake(files, authority.ensure(), "127.0.0.9") == "TLSv1.3"
