"""Serve the AWS API in front of real database servers: the control plane of the local RDS.

Only modules in this package import moto.
"""
