"""Keep the master user's secret in Secrets Manager, in RDS's form and with a random password."""

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

# Without the characters that RDS forbids in master passwords: slash, at sign, double quote, space.
_ALPHABET = string.ascii_letters + string.digits + "!#$%&()*+,-.:;<=>?[]^_{|}~"
_LENGTH = 28


@dataclass(frozen=True, slots=True)
class MasterUserSecret:
    """The secret as DescribeDBInstances shows it."""

    secret_arn: str
    kms_key_id: str
    secret_status: str = "creating"  # noqa: S105 - a status


def new_password() -> str:
    """Return a random password of the characters that RDS itself uses."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


class SecretKeeper:
    """The master secrets of one region.

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
            owner_arn: ARN of the DB instance (the secret is ``rds!db-…``) or of the DB cluster (``rds!cluster-…``).
            user: the master user.
            password: the password that the user will have.
            kms_key_id: the key; None for the account's default key.
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
        # moto's own rotation needs a Lambda function, so only the facts that DescribeSecret shows are set.
        secret.rotation_enabled = secret.rotation_requested = True
        secret.auto_rotate_after_days = 7
        key = self._kms.describe_key(secret.kms_key_id or "")
        return MasterUserSecret(secret_arn=secret.arn, kms_key_id=key.arn)

    def activate(
        self, secret: MasterUserSecret, user: str, password: str, version_id: str | None = None
    ) -> MasterUserSecret:
        """Store the password that the database now accepts; the password before stays readable as AWSPREVIOUS.

        Args:
            secret: the secret as shown so far.
            user: the master user.
            password: the password that the database accepts.
            version_id: id of the new version; by default random.

        Returns:
            The secret as ``active``.
        """
        text = _text(user, password)
        stored = self._secrets_manager.secrets[secret.secret_arn]
        # After a crash the step may be repeated: no second version with the same content.
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
        """Delete the secret at once, as RDS does when it deletes the instance."""
        self._secrets_manager.delete_secret(
            secret.secret_arn, recovery_window_in_days=None, force_delete_without_recovery=True
        )


def _text(user: str, password: str) -> str:
    return json.dumps({"username": user, "password": password})
