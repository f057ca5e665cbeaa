"""The control plane of the local RDS: the AWS API in front of real database servers.

Only modules in this package import moto.
"""
