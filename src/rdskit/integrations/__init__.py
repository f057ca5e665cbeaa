"""Integrations into frameworks; each module needs its framework, which is imported only with it."""
