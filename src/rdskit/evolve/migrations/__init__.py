"""Schema migrations: one process at a time, resumable after a crash, gentle to a busy database.

``up`` applies what is pending, ``down`` takes back, ``status`` compares a directory of files with a database, and
``explain`` says what each pending statement would lock. ``docs/migrations.md`` shows the files and the commands.
"""

from rdskit.evolve.migrations.model import Direction, Entry, Migration, State
from rdskit.evolve.migrations.runner import Settings, down, explain, status, up

__all__ = ["Direction", "Entry", "Migration", "Settings", "State", "down", "explain", "status", "up"]
