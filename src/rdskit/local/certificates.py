"""Issue certificates from a local authority, so that clients can verify every endpoint fully."""

from __future__ import annotations

import datetime as dt
import ipaddress
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_TEN_YEARS = dt.timedelta(days=3652)
_CLOCK_SKEW = dt.timedelta(hours=1)  # clients in containers or virtual machines may have a clock that is behind


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Files of one server's certificate and private key."""

    certificate: Path
    key: Path

    def remove(self) -> None:
        """Delete both files."""
        self.certificate.unlink(missing_ok=True)
        self.key.unlink(missing_ok=True)


class LocalAuthority:
    """Certificate authority of one data directory, created when first needed.

    Its certificate is valid for ten years. Only its owner can read its key.

    Args:
        directory: where ``ca.pem`` and ``ca.key`` are kept.
    """

    def __init__(self, directory: Path) -> None:
        self.certificate_file = directory / "ca.pem"
        self._key_file = directory / "ca.key"
        self._lock = threading.Lock()
        self._loaded: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None

    def ensure(self) -> Path:
        """Return the path of the authority's certificate, for clients to trust; create the authority if needed."""
        self._load()
        return self.certificate_file

    def issue(self, directory: Path, name: str, hosts: Iterable[str]) -> ServerCertificate:
        """Return a server certificate; keep an existing one if it names the same hosts.

        Args:
            directory: where its files go.
            name: of the files and the certificate's subject.
            hosts: IP addresses or DNS names by which clients reach the server.
        """
        files = ServerCertificate(directory / f"{name}.crt", directory / f"{name}.key")
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        if self._is_current(files, names):
            return files
        directory.mkdir(parents=True, exist_ok=True)
        authority, authority_key = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(name, issuer=authority.subject, key=key.public_key())
            # Clients compare the host with these names only, not with the subject (RFC 9525).
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        _write_pair(files.certificate, certificate, files.key, key)
        return files

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        with self._lock:
            # One thread creates the authority. A second one would replace the key that has signed the first
            # certificates.
            if self._loaded is None:
                if not (self.certificate_file.exists() and self._key_file.exists()):
                    self._make()
                self._loaded = (
                    x509.load_pem_x509_certificate(self.certificate_file.read_bytes()),
                    _load_key(self._key_file),
                )
            return self._loaded

    def _make(self) -> None:
        self.certificate_file.parent.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("rdskit local RDS CA")
        certificate = (
            _builder("rdskit local RDS CA", issuer=name, key=key.public_key())
            # ``path_length=0``: the authority signs servers only, never another authority.
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_pair(self.certificate_file, certificate, self._key_file, key)

    def _is_current(self, files: ServerCertificate, names: x509.SubjectAlternativeName) -> bool:
        if not (files.certificate.exists() and files.key.exists()):
            return False
        # A certificate of a deleted authority, or with other host names, is issued again: clients would refuse it.
        authority, _ = self._load()
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        wanted_key = x509.SubjectKeyIdentifier.from_public_key(authority.public_key()).digest
        signed_by = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        return present == names and signed_by.key_identifier == wanted_key


def _builder(name: str, *, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _TEN_YEARS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file} has no elliptic-curve key: delete it and ca.pem, and both are created again")
    return key


def _write_pair(
    certificate_file: Path, certificate: x509.Certificate, key_file: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The key first: the certificate's presence then always means that its key is there.
    _replace(key_file, private, 0o600)
    _replace(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(file: Path, content: bytes, mode: int) -> None:
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    # Created with its mode before the content is written, so that a key is at no moment readable by others.
    draft.touch(mode=mode)
    draft.write_bytes(content)
    draft.replace(file)
