"""Seeing what is the matter."""
