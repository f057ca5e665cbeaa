"""Set up TLS to the database, verified by default against the RDS certificate authorities in this package."""

from rdskit.client.tls.authority_file import authority_file
from rdskit.client.tls.context import MODES, CurrentContext, tls_context

__all__ = ["MODES", "CurrentContext", "authority_file", "tls_context"]
