"""A PostgreSQL with read replicas whose lag a test sets; a plain helper, no fixture of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres, throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Replicated(NamedTuple):
    """A primary and its replicas."""

    primary: ThrowawayPostgres
    replicas: tuple[ThrowawayPostgres, ...]

    @property
    def url(self) -> str:
        """The primary, for ``rdskit.connect``."""
        return self.primary.dsn.partition("?")[0]

    @property
    def readers(self) -> list[str]:
        """The replicas, for ``readers=``."""
        return [f"{replica.host}:{replica.port}" for replica in self.replicas]

    def delay(self, lag: str) -> None:
        """Have every replica apply commits that much later, as in ``500ms``."""
        self._on_replicas(f"alter system set recovery_min_apply_delay = '{lag}'", "select pg_reload_conf()")

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """No replica replays anything inside the block."""
        self._on_replicas("select pg_wal_replay_pause()")
        try:
            yield
        finally:
            self._on_replicas("select pg_wal_replay_resume()")

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """Inside the block, the replicas cancel at once what is in the way of replaying."""
        self._on_replicas("alter system set max_standby_streaming_delay = 0", "select pg_reload_conf()")
        try:
            yield
        finally:
            self._on_replicas("alter system reset max_standby_streaming_delay", "select pg_reload_conf()")

    def running(self, words: str) -> int:
        """Count how many queries with these words run on the replicas now."""
        text = f"select 1 from pg_stat_activity where state = 'active' and query like '{words}%'"
        found = 0
        for replica in self.replicas:
            with replica.connect() as session:
                found += len(session.execute(text))
        return found

    def end_running(self, words: str) -> None:
        """End the sessions on the replicas that run queries with these words."""
        self._on_replicas(
            f"select pg_terminate_backend(pid) from pg_stat_activity where state = 'active' and query like '{words}%'"
        )

    def _on_replicas(self, *statements: str) -> None:
        for replica in self.replicas:
            with replica.connect() as session:
                for statement in statements:
                    session.execute(statement)


@contextlib.contextmanager
def replicated(directory: Path, replicas: int = 2) -> Iterator[Replicated]:
    """Run a primary with replicas for the length of the block."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(throwaway_postgres(directory / "primary"))
        twins = []
        for number in range(replicas):
            twin = primary.replica(directory / f"replica-{number}")
            stack.callback(_end, twin)
            twins.append(twin)
        yield Replicated(primary, tuple(twins))


def _end(server: ThrowawayPostgres) -> None:
    server.stop("immediate")
    server.remove()
