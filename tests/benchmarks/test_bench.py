"""One small benchmark, run as `make bench` runs it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.__main__ import main
from shared.settings import ROOT

RUNS = 6
"""Few: a governed run that starts a second late asks how long it will take, one event more."""

MOST_EVENTS_MORE_THAN_BARE = 4


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What one small benchmark printed with `--json`."""
    sizes = ["--runs", str(RUNS), "--rounds", "1", "--alone", "1"]
    command = [sys.executable, "-m", "benchmarks", *sizes, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_kind_ran(document: dict[str, Any]) -> None:
    """Bare, plain and governed runs were measured, as many as were asked for, in every round."""
    rows = {row["name"]: row for row in document["scenarios"]}
    assert list(rows) == [
        "bare",
        "bare_unsandboxed",
        "plain",
        "governed",
        "short",
        "asynchronous",
        "bare_retried",
        "retried",
    ]
    assert (document["runs"], document["rounds"]) == (RUNS, 1)
    for row in rows.values():
        assert row["runs"] == RUNS
        assert len(row["throughputs"]) == len(row["ratios"]) == 1
        assert row["throughput"] > 0
        assert 0 < row["alone_p50_ms"] <= row["alone_p99_ms"]
        assert 0 < row["burst_p50_ms"] <= row["burst_p99_ms"]


def test_ratios_are_to_the_bare_run(document: dict[str, Any]) -> None:
    """The bare run is 1, and a ratio is what the two throughputs say."""
    bare, *others = document["scenarios"]
    assert bare["ratio"] == 1
    for row in others:
        assert row["ratio"] == pytest.approx(row["throughput"] / bare["throughput"], abs=0.01)


def test_a_plain_run_costs_little_more_than_a_bare_one(document: dict[str, Any]) -> None:
    """A run that nothing governs adds few events and no workflow task or call of the worker."""
    bare, _, plain, *_ = document["scenarios"]
    assert bare["events"] == 11
    assert plain["events"] - bare["events"] <= MOST_EVENTS_MORE_THAN_BARE
    assert plain["workflow_tasks"] == bare["workflow_tasks"] == 2
    assert plain["payload_bytes"] > bare["payload_bytes"] > 0
    # A workflow task that times out or a cache that is full would show here first.
    assert plain["requests"] == pytest.approx(bare["requests"], abs=0.5)


def test_a_granted_run_costs_three_events_more_than_a_plain_one(document: dict[str, Any]) -> None:
    """One for asking, one for giving back, and the timer of its SLA; it waits for nobody."""
    _, _, plain, governed, *_ = document["scenarios"]
    assert governed["events"] == plain["events"] + 3
    assert governed["workflow_tasks"] == plain["workflow_tasks"]


def test_a_short_run_is_one_workflow_task(document: dict[str, Any]) -> None:
    """Its call is an event instead of three, and the next workflow task is spared."""
    short = row_of(document, "short")
    assert (short["events"], short["workflow_tasks"]) == (8, 1)


def test_a_report_leaves_nothing_in_a_history(document: dict[str, Any]) -> None:
    """An asynchronous run is as long as a plain one, however its result came."""
    plain, accepted = row_of(document, "plain"), row_of(document, "asynchronous")
    assert (accepted["events"], accepted["workflow_tasks"]) == (plain["events"], 2)


def test_retries_are_compared_with_temporal_own(document: dict[str, Any]) -> None:
    """Ours are seen in the history, with a timer and a call each; Temporal's own are not."""
    assert row_of(document, "bare_retried")["events"] == row_of(document, "bare")["events"]
    assert row_of(document, "retried")["events"] > row_of(document, "plain")["events"]


def row_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The figures of one kind."""
    found: dict[str, Any] = next(row for row in document["scenarios"] if row["name"] == name)
    return found


def test_the_machine_is_named(document: dict[str, Any]) -> None:
    """Figures come with the cores, CPU and versions that they were measured on."""
    machine = document["machine"]
    assert machine["cores"] >= 1
    assert all(machine[name] for name in ("cpu", "server", "sdk", "python"))


def test_a_kind_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` says which kinds there are, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        main(["--only", "plain,plane"])
    assert ended.value.code == 2
    assert "there is no plane: bare, bare_unsandboxed, plain, governed" in capsys.readouterr().err
