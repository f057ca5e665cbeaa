"""An SQL prompt on a target: one session of the writer, opened again after a failover."""
