"""The benchmarks run and report; what they measure is for a quiet machine, so no time is asserted here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def _run(script: str, report: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    command = [sys.executable, str(BENCH / script), "--json", str(report), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert report.exists(), done.stderr
    return done, json.loads(report.read_text())


def test_raw_against_raw_reports_both_runs_and_whether_they_count(tmp_path: Path) -> None:
    done, report = _run("raw_vs_raw.py", tmp_path / "report.json", "--rounds", "2", "--calls", "20")
    assert [row["baseline"] for row in report["rows"]] == ["asyncpg", "asyncpg"]
    assert all(row["microseconds"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in report["rows"])
    pinned = report["rows"][1]
    assert report["valid"] == (report["pinned"] and 0.97 <= pinned["ratio"] <= 1.03)
    assert done.returncode == (0 if report["valid"] else 1)
    assert ("NOT VALID" in done.stdout) == (not report["valid"])
    assert f"{pinned['ratio']:.3f}" in done.stdout


def test_import_time_reports_what_each_import_adds(tmp_path: Path) -> None:
    done, report = _run("import_time.py", tmp_path / "report.json", "--rounds", "1", "--only", "rdskit", "--top")
    assert done.returncode == 0
    names = [row["name"] for row in report["rows"]]
    assert names == ["bare Python", "rdskit.connect", "rdskit"]
    assert "over bare Python" in done.stdout
    assert "rdskit.kernel" in done.stdout


def test_pool_contention_reports_throughput_and_fairness(tmp_path: Path) -> None:
    options = ("--rounds", "2", "--calls", "200", "--only", "rdskit")
    done, report = _run("pool_contention.py", tmp_path / "report.json", *options)
    assert [row["name"] for row in report["rows"]] == ["raw, again", "asyncpg.Pool, no reset", "rdskit"]
    assert all(row["low"] <= row["throughput"] <= row["high"] for row in report["rows"])
    assert all(row["fairness"] >= 1 and row["overall"] >= 1 and row["p99"] > row["p50"] for row in report["rows"])
    assert report["valid"] == (report["pinned"] and 0.97 <= report["rows"][0]["throughput"] <= 1.03)
    ours = report["rows"][2]
    kept = ours["throughput"] >= report["throughput_gate"] and ours["fairness"] <= report["fairness_gate"]
    assert done.returncode == (0 if report["valid"] and kept else 1)


def test_bulk_reports_inserts_and_what_a_stream_keeps(tmp_path: Path) -> None:
    options = ("--rows", "500", "--streamed", "20000", "--rounds", "1", "--only", "postgresql")
    done, report = _run("bulk.py", tmp_path / "report.json", *options)
    inserted = [row for row in report["rows"] if "speed" in row]
    assert {row["name"] for row in inserted} >= {"COPY of tuples, again", "dicts", "a generator", "SQLAlchemy"}
    assert all(row["rows_per_second"] > 0 and row["low"] <= row["speed"] <= row["high"] for row in inserted)
    (streamed,) = (row for row in report["rows"] if "highest" in row)
    assert streamed["rows"] == 20000
    assert streamed["early"] > 0
    assert streamed["highest"] > 0
    missed = [row["name"] for row in inserted if row["gate"] and row["speed"] < row["gate"]]
    missed += ["memory of a stream of postgresql"] if streamed["highest"] > 1.1 * streamed["early"] else []
    assert report["missed"] == missed
    assert done.returncode == (0 if report["pinned"] and not missed else 1)


def test_changes_reports_rows_per_second_beside_a_loop_by_hand(tmp_path: Path) -> None:
    options = ("--rows", "1000", "--rounds", "1", "--engine", "postgresql")
    done, report = _run("changes.py", tmp_path / "report.json", *options)
    assert [row["name"] for row in report["rows"]] == ["rdskit", "psycopg, by hand"]
    assert all(row["per_second"] > 0 and row["per_cpu_second"] > 0 for row in report["rows"])
    assert done.returncode == (0 if report["met"] else 1)


@pytest.mark.soak
def test_routing_reports_what_is_stale_and_what_a_slow_reader_does(tmp_path: Path) -> None:
    done, report = _run("routing.py", tmp_path / "report.json", "--rounds", "2", "--calls", "20", "--pairs", "100")
    near, far, *policies = report["rows"]
    assert (near["pairs"], far["pairs"]) == (100, 100)
    assert (near["stale"], far["stale"]) == (0, 0)
    assert all(0 <= row["on_readers"] <= 1 for row in (near, far))
    assert [row["name"] for row in policies][-1] == "rdskit (P2C, peak EWMA)"
    assert all(policies[-1]["p99"] < other["p99"] for other in policies[:-1])
    assert report["decision"] > 0
    assert done.returncode == bool(report["missed"])


def test_transaction_overhead_reports_what_is_added_and_what_a_fence_costs(tmp_path: Path) -> None:
    options = ("--rounds", "2", "--calls", "20", "--engine", "postgresql")
    done, report = _run("transaction_overhead.py", tmp_path / "report.json", *options)
    again, block, run, *writing = report["rows"]
    assert again["name"] == "SELECT, asyncpg again"
    assert [row["name"] for row in writing] == ["UPDATE, db.run without a fence", "UPDATE, db.run"]
    assert [row["gate"] for row in report["rows"]] == [None, 20.0, 20.0, None, None]
    assert all(row["microseconds"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in report["rows"])
    assert report["missed"] == [f"postgresql: {row['name']}" for row in (block, run) if row["added"] > 20.0]
    is_valid = report["valid"]["postgresql"]
    assert not is_valid or 0.97 <= again["ratio"] <= 1.03
    assert ("NOT VALID" in done.stdout) == (not is_valid)
    assert done.returncode == (0 if is_valid and not report["missed"] else 1)


def test_outbox_reports_each_way_to_deliver(tmp_path: Path) -> None:
    done, report = _run("outbox.py", tmp_path / "report.json", "--messages", "300", "--engine", "postgresql")
    assert [(row["name"], row["messages"]) for row in report["rows"]] == [
        ("ordered", 300),
        ("unordered", 300),
        ("one at a time", 30),
    ]
    assert all(row["per_second"] > 0 for row in report["rows"])
    assert report["met"] == all(row["per_second"] >= report["gate"] for row in report["rows"][:2])
    assert done.returncode == (0 if report["met"] else 1)


def test_pipelining_reports_ratios_and_connections(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--calls", "40", "--only", "postgresql", "--tasks", "5")
    done, report = _run("pipelining.py", tmp_path / "report.json", *options)
    assert {row["name"] for row in report["rows"]} >= {"rdskit", "rdskit, pool only", "asyncpg.Pool"}
    assert {row["tasks"] for row in report["rows"]} == {5}
    assert all(row["qps"] > 0 and row["connections"] > 0 for row in report["rows"])
    assert all(row["ratio"] == 1 for row in report["rows"] if row["name"] == "rdskit")
    assert done.returncode == (0 if report["kept"] else 1)
