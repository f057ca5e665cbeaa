"""Output files of commands, checked before the work begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rdskit.errors import ConfigError


def _writable(path: Path | None) -> Path | None:
    """Refuse a path that cannot be written, before hours of work are lost to it."""
    if path is None:
        return None
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a directory: name a file in it")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is not a directory: make it, or choose another place")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written: choose another place")
    return path


HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", callback=_writable, help="Write a page there.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json-file", metavar="FILE", callback=_writable, help="Write the JSON there.")
]
SarifFile = Annotated[
    Path | None, typer.Option("--sarif", metavar="FILE", callback=_writable, help="Write SARIF there.")
]


def write(path: Path, content: str) -> None:
    """Write a file of text.

    Raises:
        ConfigError: it cannot be written after all.
    """
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; choose another place") from error
