"""A made-up run, for the tests of the demo's report."""

from __future__ import annotations

import random

from rdskit.demo.model import Books, Failover, Journal, Outcome, Read, Report, Write
from rdskit.demo.policy import report_of

WRITERS = 8
SECONDS = 15.0


def made_up_journal(failover: Failover, *, seed: int = 7) -> Journal:
    """Return a plausible journal: short latencies, and a long one for each writer while there is no primary."""
    chance = random.Random(seed)
    journal = Journal()
    for writer in range(WRITERS):
        now = number = 0.0
        while now < SECONDS:
            ended = now + chance.lognormvariate(-5.3, 0.35)
            if now < failover.accepted and ended > failover.at:
                ended = failover.accepted + chance.uniform(0.005, 0.06)
            journal.writes.append(Write(f"{writer}-{number}", writer, now, ended, Outcome.ACKNOWLEDGED))
            journal.reads.append(Read(ended, ended + 0.001, found=True))
            now, number = ended + chance.uniform(0.001, 0.01), number + 1
    journal.writes.sort(key=lambda write: write.ended)
    return journal


def made_up_report(*, lose: int = 0) -> Report:
    """Return the report of a made-up run in which ``lose`` acknowledged orders are absent."""
    failover = Failover(at=5.2, promotion=0.128)
    journal = made_up_journal(failover)
    orders = {write.key: 1 for write in journal.writes[lose:]}
    return report_of(
        journal,
        Books(orders, unpaid=0, stock_difference=0),
        failover,
        title="PostgreSQL 18.6, Multi-AZ, one read replica",
        started_at="2026-01-02T03:04:05Z",
        writers=WRITERS,
        readers=4,
        seconds=SECONDS,
        interrupted=False,
        zones=("eu-west-1a", "eu-west-1b"),
    )
