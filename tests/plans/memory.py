"""Plans whose steps act on values in memory, so that each outcome can be arranged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rdskit.plans import Plan, Probe, Step, StepContext, done, not_done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass
class World:
    """What the steps change, and the errors that are arranged for them."""

    there: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    errors: dict[str, list[BaseException]] = field(default_factory=dict)
    hooks: dict[str, Callable[[StepContext], Awaitable[None]]] = field(default_factory=dict)

    def step(self, name: str, **options: Any) -> Step:
        """Return a probed, reversible step that puts its name into ``there``."""

        async def run(context: StepContext) -> Any:
            self.calls.append(name)
            if hook := self.hooks.get(name):
                await hook(context)
            if self.errors.get(name):
                raise self.errors[name].pop(0)
            self.there.add(name)
            return {"made": name}

        async def is_done(context: StepContext) -> Probe:
            del context
            return done({"made": name}) if name in self.there else not_done()

        async def undo(context: StepContext) -> None:
            self.calls.append(f"undo {name}")
            assert context.results.get(name, {"made": name}) == {"made": name}
            if self.errors.get(f"undo {name}"):
                raise self.errors[f"undo {name}"].pop(0)
            self.there.discard(name)

        return Step(name, f"make {name}", run, **{"done": is_done, "undo": undo, **options})

    def plan(self, *steps: Step, **options: Any) -> Plan:
        return Plan("sample", "Make a few things", {"n": 1}, steps, **options)
