"""PostgreSQL's protocol for pipelined reads: framing, binary codecs and prepared statements of our own.

asyncpg logs in, with its TLS, SCRAM and error meanings; then this package takes over the socket. It gives the values
that the pooled path gives; a type, value or argument for which it has no codec goes to the pooled path.
"""

from rdskit.drivers.postgres.wire.opening import open_pipeline
from rdskit.drivers.postgres.wire.pipeline import PostgresPipeline

__all__ = ["PostgresPipeline", "open_pipeline"]
