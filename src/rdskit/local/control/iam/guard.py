"""Define what a caller of the AWS API must prove."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Guard"]


@dataclass(frozen=True, slots=True)
class Guard:
    """The checks on a caller of the AWS API.

    Attributes:
        verify_signatures: require a signature by an access key of this local RDS.
        enforce_iam: require that policies of the local IAM allow the action.
    """

    verify_signatures: bool = True
    enforce_iam: bool = False

    def arguments(self) -> list[str]:
        """Return the options of the daemon's command line for these checks."""
        verify = [] if self.verify_signatures else ["--no-verify-signatures"]
        return verify + (["--enforce-iam"] if self.enforce_iam else [])
