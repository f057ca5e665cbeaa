"""Manage PostgreSQL servers: their files, programs, processes and SQL."""
