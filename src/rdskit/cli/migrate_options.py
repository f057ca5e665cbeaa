"""The options that several commands of ``rdskit migrate`` take."""

from pathlib import Path
from typing import Annotated

import typer

Dir = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the files are.")]
To = Annotated[str | None, typer.Option(metavar="VERSION", help="A version, or the beginning of its name.")]
LockTimeout = Annotated[float, typer.Option(min=0.05, help="Seconds that a statement waits for a lock.")]
Patience = Annotated[
    float, typer.Option(min=0, help="Seconds for which a statement is retried while a lock is not free.")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for another process that migrates.")]
