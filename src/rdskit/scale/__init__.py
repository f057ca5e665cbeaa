"""More reads, more tenants, more writes than one server carries: cache, tenancy, sharding.

Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rdskit.scale.cache import Cache, CacheStats
    from rdskit.scale.sharding import Shards, bucket_of, uuid7
    from rdskit.scale.tenancy import Tenant, Tenants, TenantTable, TenantTarget, row_policy

__all__ = [
    "Cache",
    "CacheStats",
    "Shards",
    "Tenant",
    "TenantTable",
    "TenantTarget",
    "Tenants",
    "bucket_of",
    "row_policy",
    "uuid7",
]

_MODULE_OF: Final = {
    **dict.fromkeys(("Cache", "CacheStats"), "rdskit.scale.cache"),
    **dict.fromkeys(("Shards", "bucket_of", "uuid7"), "rdskit.scale.sharding"),
    **dict.fromkeys(("Tenant", "TenantTable", "TenantTarget", "Tenants", "row_policy"), "rdskit.scale.tenancy"),
}

if not TYPE_CHECKING:  # a type checker knows every name from the imports above, and reports any other

    def __getattr__(name: str) -> Any:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(module), name)
        return value
