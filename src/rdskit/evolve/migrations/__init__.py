"""Schema migrations: one process at a time, resumable after a crash, gentle to a busy database.

``up`` applies what is pending, ``down`` undoes, ``status`` compares a directory of files with a database,
``explain`` says what each pending statement would lock, and ``apply`` migrates many databases or schemas.
``docs/migrations.md`` shows the files and the commands.
"""

from rdskit.evolve.migrations.model import Direction, Entry, Migration, State
from rdskit.evolve.migrations.runner import Settings, down, explain, status, up
from rdskit.evolve.migrations.targets import Target, Waves, apply, behind, in_schemas

__all__ = [
    "Direction",
    "Entry",
    "Migration",
    "Settings",
    "State",
    "Target",
    "Waves",
    "apply",
    "behind",
    "down",
    "explain",
    "in_schemas",
    "status",
    "up",
]
