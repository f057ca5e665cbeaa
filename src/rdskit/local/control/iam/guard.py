"""What a caller of the AWS API must prove."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Guard"]


@dataclass(frozen=True, slots=True)
class Guard:
    """What a caller of the AWS API must prove.

    Attributes:
        verify_signatures: that it has the secret of an access key of this local RDS.
        enforce_iam: that the policies of the local IAM allow what it asks for.
    """

    verify_signatures: bool = True
    enforce_iam: bool = False

    def arguments(self) -> list[str]:
        """Return the words of the daemon's command line for it."""
        verify = [] if self.verify_signatures else ["--no-verify-signatures"]
        return verify + (["--enforce-iam"] if self.enforce_iam else [])
