"""Query how many connections a PostgreSQL server accepts."""

from __future__ import annotations

from typing import Final

CAPACITY: Final = """
select current_setting('max_connections')::int,
       (select sum(coalesce(nullif(current_setting(name, true), ''), '0')::int)
          from unnest(array['superuser_reserved_connections', 'reserved_connections',
                            'rds.rds_superuser_reserved_connections', 'rds.superuser_reserved_connections']) name)::int,
       (select min(allowed) from (select rolconnlimit from pg_roles where rolname = current_user
                                  union all select datconnlimit from pg_database where datname = current_database()
                                 ) limits (allowed) where allowed >= 0)
"""
"""The query for ``ServerCapacity``: slots for superusers and for RDS itself count as reserved."""
