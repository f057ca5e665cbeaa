"""TLS towards the database: verified by default, against the RDS authorities that are shipped with the package."""

from rdskit.client.tls.context import tls_context

__all__ = ["tls_context"]
