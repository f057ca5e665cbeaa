"""Secrets that RDS owns, as Secrets Manager treats them: rotated for real, and closed to everyone else's writes."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from moto.rds.models import rds_backends
from moto.secretsmanager import urls
from moto.secretsmanager.exceptions import InvalidRequestException
from moto.secretsmanager.responses import SecretsManagerResponse

from rdskit.local.control.rds.models import LocalRDSBackend

if TYPE_CHECKING:
    from moto.secretsmanager.models import FakeSecret, ReplicaSecret

__all__ = ["install"]


def install() -> None:
    """Make Secrets Manager answer through this module."""
    urls.url_paths["{0}/$"] = LocalSecretsManagerResponse.dispatch


class LocalSecretsManagerResponse(SecretsManagerResponse):
    """Secrets Manager, aware of the secrets that are RDS's."""

    def rotate_secret(self) -> str:
        """RotateSecret: of a master user's secret, the database's password changes with it."""
        secret = self._owned_by_rds()
        if secret is None:
            return super().rotate_secret()
        version = str(self._get_param("ClientRequestToken") or uuid.uuid4())
        backend = rds_backends[self.current_account][self.region]
        assert isinstance(backend, LocalRDSBackend)
        backend.rotate(secret.arn, version)
        return json.dumps({"ARN": secret.arn, "Name": secret.name, "VersionId": version})

    def put_secret_value(self) -> str:
        """PutSecretValue."""
        self._refuse_if_owned()
        return super().put_secret_value()

    def update_secret(self) -> str:
        """UpdateSecret."""
        self._refuse_if_owned()
        return super().update_secret()

    def delete_secret(self) -> str:
        """DeleteSecret."""
        self._refuse_if_owned()
        return super().delete_secret()

    def _owned_by_rds(self) -> FakeSecret | ReplicaSecret | None:
        secret = self.backend.secrets.get(str(self._get_param("SecretId")))
        return secret if secret is not None and secret.owning_service == "rds" else None

    def _refuse_if_owned(self) -> None:
        if secret := self._owned_by_rds():
            raise InvalidRequestException(
                f"{secret.name} is managed by rds, which alone may change it: use ModifyDBInstance or RotateSecret."
            )
