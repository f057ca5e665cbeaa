"""Adapters from database drivers to rdskit's ports; a driver's types and exceptions do not leave this package."""
