"""Who to log in as: a port with one method, and what implements it."""

from rdskit.client.credentials.secret import SecretCredentials
from rdskit.client.credentials.static import EnvironmentCredentials, StaticCredentials

__all__ = ["EnvironmentCredentials", "SecretCredentials", "StaticCredentials"]
