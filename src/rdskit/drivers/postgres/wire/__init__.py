"""PostgreSQL's protocol for pipelined reads: framing, binary codecs and prepared statements.

asyncpg logs in, with its TLS, SCRAM and error handling; then this package uses the socket. It returns the same values
as the pooled path. A type, value or argument for which it has no codec goes to the pooled path.
"""

from rdskit.drivers.postgres.wire.opening import open_pipeline
from rdskit.drivers.postgres.wire.pipeline import PostgresPipeline

__all__ = ["PostgresPipeline", "open_pipeline"]
