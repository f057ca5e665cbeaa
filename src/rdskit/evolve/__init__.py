"""A database's schema over time: migrations, online changes of large tables, deployments."""
