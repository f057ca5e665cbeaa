"""DB clusters: a writer and its readers, each an instance of its own, behind endpoints that follow the roles."""
