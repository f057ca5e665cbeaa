"""The ``ENGINE`` for PostgreSQL."""
