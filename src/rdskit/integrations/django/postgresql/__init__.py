"""``ENGINE``: PostgreSQL."""
