"""A small shop on a local RDS, a real failover in the middle of its day, and the accounts afterwards."""
