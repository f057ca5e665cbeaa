"""Give each database server a stable address: one process terminates TLS and relays to the current backend."""
