"""The master user's secret that RDS keeps in Secrets Manager: RDS's own shape, a password that is really random."""

from __future__ import annotations

import json
import secrets
import string
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moto.kms.models import KmsBackend
    from moto.secretsmanager.models import SecretsManagerBackend

__all__ = ["MasterUserSecret", "SecretKeeper", "new_password"]

_ALPHABET = string.ascii_letters + string.digits + "!#$%&()*+,-.:;<=>?[]^_{|}~"
_LENGTH = 28


@dataclass(frozen=True, slots=True)
class MasterUserSecret:
    """What DescribeDBInstances says of the secret."""

    secret_arn: str
    kms_key_id: str
    secret_status: str = "creating"  # noqa: S105 - a status


def new_password() -> str:
    """A random password of the characters that RDS itself uses."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


class SecretKeeper:
    """Makes, changes and removes master secrets in one region.

    Args:
        secrets_manager: the region's Secrets Manager.
        kms: the region's key service.
    """

    def __init__(self, secrets_manager: SecretsManagerBackend, kms: KmsBackend) -> None:
        self._secrets_manager = secrets_manager
        self._kms = kms

    def create(self, owner_arn: str, user: str, password: str, kms_key_id: str | None) -> MasterUserSecret:
        """Store the credentials of a new master user, owned by RDS, rotated every 7 days.

        Args:
            owner_arn: of the DB instance (the secret is ``rds!db-…``) or of the DB cluster (``rds!cluster-…``).
            user: the master user.
            password: the password that it will have.
            kms_key_id: None takes the account's default key.
        """
        of_cluster = ":cluster:" in owner_arn
        name, owner, tag = ("cluster", "cluster", "Cluster") if of_cluster else ("db", "instance", "Instance")
        secret = self._secrets_manager.create_managed_secret(
            service_name="rds",
            secret_id=f"rds!{name}-{uuid.uuid4()}",
            secret_string=_text(user, password),
            description=f"The secret associated with the primary RDS DB {owner}: {owner_arn}",
            kms_key_id=kms_key_id,
            tags=[{"Key": f"aws:rds:primaryDB{tag}Arn", "Value": owner_arn}],
        )
        secret.rotation_enabled = secret.rotation_requested = True
        secret.auto_rotate_after_days = 7
        key = self._kms.describe_key(secret.kms_key_id or "")
        return MasterUserSecret(secret_arn=secret.arn, kms_key_id=key.arn)

    def activate(
        self, secret: MasterUserSecret, user: str, password: str, version_id: str | None = None
    ) -> MasterUserSecret:
        """Say in the secret what the database now accepts; the password before stays readable as AWSPREVIOUS.

        Args:
            secret: as shown so far.
            user: the master user.
            password: that the database accepts.
            version_id: of a new version; by default random.

        Returns:
            The secret as ``active``.
        """
        text = _text(user, password)
        stored = self._secrets_manager.secrets[secret.secret_arn]
        if stored.versions[stored.default_version_id or ""]["secret_string"] != text:
            self._secrets_manager.put_secret_value(
                secret_id=secret.secret_arn,
                secret_string=text,
                secret_binary=None,  # type: ignore[arg-type]  # declared str, but None is what it stores for text
                client_request_token=version_id or str(uuid.uuid4()),
                version_stages=["AWSCURRENT"],
            )
        return replace(secret, secret_status="active")  # noqa: S106 - a status

    def remove(self, secret: MasterUserSecret) -> None:
        """Delete the secret at once, as RDS does with its instance."""
        self._secrets_manager.delete_secret(
            secret.secret_arn, recovery_window_in_days=None, force_delete_without_recovery=True
        )


def _text(user: str, password: str) -> str:
    return json.dumps({"username": user, "password": password})
