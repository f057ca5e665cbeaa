"""Stable addresses in front of the real servers: one process that speaks TLS and relays to the present backend."""
