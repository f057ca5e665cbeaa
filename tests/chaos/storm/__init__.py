"""A storm of random faults over a local RDS under load, and the count of what it cost; see ``docs/testing.md``."""
