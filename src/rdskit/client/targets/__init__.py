"""Resolve the target that an application names to a host and a login."""
