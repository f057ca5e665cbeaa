"""Define the errors of the RDS API, with the codes of its API model."""

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
    """The instance's status does not allow the operation."""

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
    """The status of the cluster or of its instances does not allow the operation."""

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
    """An engine is being fetched or asked, and that takes longer than a caller waits."""

    # RDS's code for a request that may succeed later.

    def __init__(self, message: str) -> None:
        super().__init__("InsufficientDBInstanceCapacity", message)


class NotOfferedError(RDSClientError):
    """An action of RDS that the local RDS cannot perform on real servers."""

    def __init__(self, action: str) -> None:
        super().__init__("InvalidAction", f"The local RDS does not implement rds:{action}: it would only pretend.")
