"""Provide the types for ``rdskit.connect(…, credentials=…)``: IAM with options, and AWS keys from other sources.

An object of the application's own needs one method, ``async def login(endpoint, *, refused=None) -> rdskit.Login``.
"""

from rdskit.aws.keys import AwsKeys
from rdskit.client.api import Iam
from rdskit.kernel.ports import Credentials, Login

__all__ = ["AwsKeys", "Credentials", "Iam", "Login"]
