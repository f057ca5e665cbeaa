"""Diagnosis of connection problems."""
