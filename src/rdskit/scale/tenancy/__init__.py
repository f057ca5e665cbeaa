"""Many tenants in one application: a database, a schema or rows for each, and no row of one for another."""

from rdskit.scale.tenancy.rows import row_policy
from rdskit.scale.tenancy.service import Tenants, TenantsStats, TenantTarget
from rdskit.scale.tenancy.table import KnownTenant, TenantTable
from rdskit.scale.tenancy.tenant import Tenant

__all__ = ["KnownTenant", "Tenant", "TenantTable", "TenantTarget", "Tenants", "TenantsStats", "row_policy"]
