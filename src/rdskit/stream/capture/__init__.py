"""Change capture: what is committed in a database, as typed rows, in the order of the commits.

PostgreSQL's ``pgoutput`` and the binary log of MySQL and MariaDB are read on the driver's replication connection and
decoded here. ``docs/changes.md`` shows how it is used and what it guarantees.
"""

from rdskit.stream.capture.checks import check
from rdskit.stream.capture.model import UNCHANGED, Kind
from rdskit.stream.capture.service import Change, Changes, changes
from rdskit.stream.capture.upkeep import Status, drop, status

__all__ = ["UNCHANGED", "Change", "Changes", "Kind", "Status", "changes", "check", "drop", "status"]
