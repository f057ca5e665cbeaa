"""Provide logins: the implementations of the ``Credentials`` port, and the retry of refused logins."""

from rdskit.client.credentials.choose import check_credentials, choose_credentials, may_send_password
from rdskit.client.credentials.content import SecretContent
from rdskit.client.credentials.environment import EnvironmentCredentials
from rdskit.client.credentials.iam import Iam, IamCredentials
from rdskit.client.credentials.login import log_in, log_in_here
from rdskit.client.credentials.managed import MasterUserCredentials
from rdskit.client.credentials.static import StaticCredentials
from rdskit.client.credentials.stored import SecretStore, StoredCredentials, read_content

__all__ = [
    "EnvironmentCredentials",
    "Iam",
    "IamCredentials",
    "MasterUserCredentials",
    "SecretContent",
    "SecretStore",
    "StaticCredentials",
    "StoredCredentials",
    "check_credentials",
    "choose_credentials",
    "log_in",
    "log_in_here",
    "may_send_password",
    "read_content",
]
