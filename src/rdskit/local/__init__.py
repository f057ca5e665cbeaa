"""Emulate RDS locally: the AWS API in front of real database servers. Imports nothing of the client."""
