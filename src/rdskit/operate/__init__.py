"""Running databases day by day."""
