"""Long work that shows itself first, survives a crash and can be undone: plans, their steps, and their journals.

A ``Plan`` lists its ``Step``s before anything happens. ``apply`` runs them and writes each start and result to a
journal, so that ``resume`` can continue after a crash and ``undo`` can undo what was done. Each step is *atomic*
(``atomic``: its own transaction records it) or *probed* (``Step.done`` asks the server or AWS whether it happened).
A step that is neither stops an interrupted job as *unknown*: it is never repeated on a guess.
"""

from rdskit.plans.atomic import atomic
from rdskit.plans.file_journal import FileJournal
from rdskit.plans.journal import Journal
from rdskit.plans.model import (
    Job,
    JobState,
    Plan,
    Probe,
    Progress,
    Step,
    StepContext,
    StepState,
    done,
    not_done,
    running,
    unknown,
)
from rdskit.plans.runner import Stop, apply, resume, undo
from rdskit.plans.table_journal import TableJournal

__all__ = [
    "FileJournal",
    "Job",
    "JobState",
    "Journal",
    "Plan",
    "Probe",
    "Progress",
    "Step",
    "StepContext",
    "StepState",
    "Stop",
    "TableJournal",
    "apply",
    "atomic",
    "done",
    "not_done",
    "resume",
    "running",
    "undo",
    "unknown",
]
