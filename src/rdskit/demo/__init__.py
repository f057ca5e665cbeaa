"""``rdskit demo``: a shop on a local RDS, a real failover while it is open, and the accounts afterwards."""
