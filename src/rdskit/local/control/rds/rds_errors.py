"""The errors that RDS answers with; codes are those of its API model."""

from __future__ import annotations

from moto.rds.exceptions import RDSClientError

__all__ = [
    "ClusterExistsError",
    "EndpointExistsError",
    "EndpointNotFoundError",
    "InvalidClusterStateError",
    "InvalidCombinationError",
    "InvalidGroupStateError",
    "InvalidStateError",
    "InvalidValueError",
    "NotOfferedError",
]


class InvalidStateError(RDSClientError):
    """The operation does not fit the instance's status."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidDBInstanceState", message)


class InvalidGroupStateError(RDSClientError):
    """The parameter group is in use, or is a default one."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidDBParameterGroupState", message)


class InvalidCombinationError(RDSClientError):
    """Two parameters contradict each other, or one contradicts the instance."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameterCombination", message)


class InvalidValueError(RDSClientError):
    """A parameter's value is not possible."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameterValue", message)


class InvalidClusterStateError(RDSClientError):
    """The operation does not fit the cluster's status, or its instances'."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidDBClusterStateFault", message)


class ClusterExistsError(RDSClientError):
    """There is a cluster of that name."""

    def __init__(self, identifier: str) -> None:
        super().__init__("DBClusterAlreadyExistsFault", f"DB cluster {identifier} already exists")


class EndpointExistsError(RDSClientError):
    """There is a cluster endpoint of that name."""

    def __init__(self, identifier: str) -> None:
        super().__init__("DBClusterEndpointAlreadyExistsFault", f"DB cluster endpoint {identifier} already exists")


class EndpointNotFoundError(RDSClientError):
    """There is no cluster endpoint of that name."""

    def __init__(self, identifier: str) -> None:
        super().__init__("DBClusterEndpointNotFoundFault", f"DB cluster endpoint {identifier} not found")


class NotReadyError(RDSClientError):
    """Something is being fetched or found out, and takes longer than a caller waits."""

    def __init__(self, message: str) -> None:
        super().__init__("InsufficientDBInstanceCapacity", message)


class NotOfferedError(RDSClientError):
    """A real action of RDS that has no real server behind it here."""

    def __init__(self, action: str) -> None:
        super().__init__("InvalidAction", f"The local RDS does not implement rds:{action}: it would only pretend.")
