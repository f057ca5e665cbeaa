"""Extend moto's Secrets Manager with the rules for secrets that RDS owns."""

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
    """Make moto's Secrets Manager answer through this module."""
    # moto looks the handler up in this table when it creates the service's application, on the first request.
    urls.url_paths["{0}/$"] = LocalSecretsManagerResponse.dispatch


class LocalSecretsManagerResponse(SecretsManagerResponse):
    """The actions of Secrets Manager that treat secrets of RDS differently."""

    def rotate_secret(self) -> str:
        """Handle RotateSecret; for a secret of RDS the database's password changes too."""
        secret = self._owned_by_rds()
        if secret is None:
            return super().rotate_secret()
        # The new version appears in the secret when the database has the password, as on RDS.
        version = str(self._get_param("ClientRequestToken") or uuid.uuid4())
        backend = rds_backends[self.current_account][self.region]
        assert isinstance(backend, LocalRDSBackend)
        backend.rotate(secret.arn, version)
        return json.dumps({"ARN": secret.arn, "Name": secret.name, "VersionId": version})

    def put_secret_value(self) -> str:
        """Handle PutSecretValue; refuse a secret of RDS."""
        self._refuse_if_owned()
        return super().put_secret_value()

    def update_secret(self) -> str:
        """Handle UpdateSecret; refuse a secret of RDS."""
        self._refuse_if_owned()
        return super().update_secret()

    def delete_secret(self) -> str:
        """Handle DeleteSecret; refuse a secret of RDS."""
        self._refuse_if_owned()
        return super().delete_secret()

    def _owned_by_rds(self) -> FakeSecret | ReplicaSecret | None:
        secret = self.backend.secrets.get(str(self._get_param("SecretId")))
        return secret if secret is not None and secret.owning_service == "rds" else None

    def _refuse_if_owned(self) -> None:
        if secret := self._owned_by_rds():
            raise InvalidRequestException(
                f"{secret.name} is managed by rds, and only rds can change it: use ModifyDBInstance or RotateSecret."
            )
