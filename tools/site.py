"""Put the pages of the documentation site together in ``build/docs``, and its configuration in ``build/mkdocs.yml``.

Usage: python tools/site.py     Run by ``make docs``, which then builds ``build/site``.

The pages are those of ``docs/`` and the four documents at the top of the checkout, with their links to each other. The
reference has one page for each public module, made from ``__all__``, which mkdocstrings fills from the docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build/docs"
#: File at the top of the checkout → page.
TOP: Final = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
#: Public modules, each with what its page is about.
MODULES: Final = {
    "rdskit": "Connect, query, transactions, errors",
    "rdskit.sync": "The same without asyncio",
    "rdskit.credentials": "Credentials",
    "rdskit.events": "Events for observers",
    "rdskit.outbox": "The outbox",
    "rdskit.evolve.migrations": "Migrations",
    "rdskit.scale": "Cache, tenants, shards",
    "rdskit.stream": "Changes",
    "rdskit.plans": "Plans, steps and journals",
    "rdskit.reports": "Findings and reports",
    "rdskit.inspect": "Facts about a schema",
    "rdskit.integrations.sqlalchemy": "SQLAlchemy",
    "rdskit.integrations.starlette": "Starlette",
    "rdskit.integrations.fastapi": "FastAPI",
    "rdskit.integrations.opentelemetry": "OpenTelemetry",
    "rdskit.integrations.alembic": "Alembic",
}
_LINK: Final = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")


def relinked(page: Path, text: str) -> str:
    """Return a page's text with links as they are on the site; files that are no pages are copied beside them."""

    def place(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve().relative_to(ROOT)
        if str(target) in TOP:
            return f"{match[1]}{TOP[str(target)]}{match[3]}"
        if target.parts[0] == "docs":
            return f"{match[1]}{target.relative_to('docs')}{match[3]}"
        copy = TARGET / "files" / f"{target}.txt"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / target, copy)
        return f"{match[1]}{copy.relative_to(TARGET)}{match[3]}"

    # Every second piece is a block of code, where `](` is no link.
    pieces = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if number % 2 else _LINK.sub(place, piece) for number, piece in enumerate(pieces))


def place_of(module: str, name: str) -> str:
    """Return where a public name is defined, as ``package.module.Name``: a facade only hands it on."""
    found = getattr(importlib.import_module(module), name)
    if inspect.isclass(found) or inspect.isfunction(found):
        return f"{found.__module__}.{found.__qualname__}"
    return f"{module}.{name}"


def reference(module: str, about: str) -> str:
    """Return the reference page of one module."""
    names = [name for name in importlib.import_module(module).__all__ if not name.startswith("_")]
    options = "    options:\n      inherited_members: true\n      heading: "
    parts = [f"# {about}", f"Everything that `from {module} import …` offers."]
    parts += [f"::: {place_of(module, name)}\n{options}{name}" for name in sorted(names, key=str.lower)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write all pages and the configuration."""
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(ROOT / "docs", TARGET)
    sources = {ROOT / name: TARGET / page for name, page in TOP.items()}
    sources |= {page: TARGET / page.name for page in (ROOT / "docs").glob("*.md")}
    for source, page in sources.items():
        text = relinked(source, source.read_text(encoding="utf-8"))
        page.write_text(re.sub(r"^(```\w+) runnable$", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    (TARGET / "reference").mkdir()
    for module, about in MODULES.items():
        (TARGET / f"reference/{module}.md").write_text(reference(module, about), encoding="utf-8")
    entries = "".join(f"          - reference/{module}.md\n" for module in MODULES)
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("build/", "")
    (ROOT / "build/mkdocs.yml").write_text(
        settings.replace("      - REFERENCE\n", f"      - API:\n{entries}").replace("paths: [src]", "paths: [../src]"),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
