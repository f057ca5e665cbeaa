"""PostgreSQL as the fleet sees it."""
