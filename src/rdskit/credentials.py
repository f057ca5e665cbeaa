"""What ``rdskit.connect(…, credentials=…)`` takes besides a string: IAM with options, and keys from elsewhere.

Everything else is an object with one method, ``async def login(endpoint, *, refused=None) -> rdskit.Login``.
"""

from rdskit.aws.keys import AwsKeys
from rdskit.client.api import Iam
from rdskit.kernel.ports import Credentials, Login

__all__ = ["AwsKeys", "Credentials", "Iam", "Login"]
