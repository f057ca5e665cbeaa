"""PostgreSQL as an engine of the fleet."""
