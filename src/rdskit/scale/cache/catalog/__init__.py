"""What the database's catalog says of tables: what a view reads, and what a write changes beside its own table."""

from rdskit.scale.cache.catalog.service import Catalog

__all__ = ["Catalog"]
