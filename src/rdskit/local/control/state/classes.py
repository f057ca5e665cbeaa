"""List the classes whose objects may be in a stored state.

They are the classes of moto's model modules and of rdskit's own; all of them hold data. Functions, types and all other
classes are not in the list, so no stored state can name them.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["allowed"]

_MODULES: Final = (
    "moto.cloudwatch.models",
    "moto.ec2.models.*",
    "moto.iam.models",
    "moto.kms.models",
    "moto.kms.utils",
    "moto.logs.metric_filters",
    "moto.logs.models",
    "moto.rds.models",
    "moto.secretsmanager.models",
    "moto.sns.models",
    "moto.sns.utils",
    "moto.sqs.models",
    "moto.ssm.models",
    "moto.sts.models",
    "moto.utilities.tagging_service",
    "moto.utilities.utils",
    "rdskit.local.control.rds.cluster",
    "rdskit.local.control.rds.events",
    "rdskit.local.control.rds.instance",
    "rdskit.local.control.rds.secret",
    "rdskit.local.control.rds.steps",
    "rdskit.kernel.endpoints",
)
_NOT_DATA: Final = (Exception,)  # moto defines some exceptions in its model modules; no state holds one


@cache
def allowed() -> Mapping[str, type]:
    """Return the allowed classes, each by its module and name."""
    found: dict[str, type] = {}
    for name in _MODULES:
        module = importlib.import_module(name.removesuffix(".*"))
        modules = [module]
        if name.endswith(".*"):
            prefix = f"{module.__name__}."
            modules += [each for each in vars(module).values() if getattr(each, "__name__", "").startswith(prefix)]
        for each in modules:
            # By __module__: a class that a model module only imports is not one of its own, and stays out.
            for value in list(vars(each).values()):
                if isinstance(value, type) and value.__module__ == each.__name__ and not issubclass(value, _NOT_DATA):
                    found[f"{value.__module__}:{value.__qualname__}"] = value
    return found
