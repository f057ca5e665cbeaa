"""DB clusters: a writer and its readers, each a separate instance, behind endpoints that follow the roles."""
