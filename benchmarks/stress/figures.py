"""The document of one stress: figures from the evidence, and whether they are as aimed at."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from statistics import median
from typing import Any

from prometheus_client import Metric

from benchmarks.latencies import Latencies
from benchmarks.stress.evidence import Verdict
from benchmarks.stress.load import ON_TIME, Load
from benchmarks.stress.play import Played
from domain.states import RunState
from sandbox.client import Delivery

MOST_FINDINGS = 200
ON_TIME_RATE, P99_MS, WORKER_MB = 0.99, 10_000.0, 1500
"""What is aimed at on two cores."""


def figures(
    load: Load, played: Played, verdict: Verdict, metrics: Mapping[str, Metric], usage: Any
) -> dict[str, Any]:
    """Everything of the document but the machine and the curve."""
    first = _first_calls(verdict.evidence.deliveries)
    clocks = {run_id: at for part in played.due for run_id, at in part.items()}
    events = {run_id: at for part in played.told for run_id, at in part.items()}
    states = Counter(run.status for run in verdict.evidence.runs)
    latency = _delays(first, clocks)
    on_time = sum(seconds <= ON_TIME.total_seconds() for seconds in latency.seconds)
    missed = states[RunState.MISSED] + len(
        clocks.keys() - {r.run_id for r in verdict.evidence.runs}
    )
    found = {
        "load": asdict(load)
        | {"stagger": load.stagger.total_seconds(), "hold": load.hold.total_seconds()},
        "registration": {
            "tasks": played.registered,
            "seconds": round(played.register_s, 1),
            "per_second": round(played.registered / played.register_s, 1),
        },
        "due": len(clocks) + len(events),
        "on_time_rate": round(on_time / len(clocks), 5),
        "latency": latency.summary().as_json(),
        "latency_by_nominal_time": [_delays(first, due).summary().as_json() for due in played.due],
        "latency_of_events": _delays(first, events).summary().as_json(),
        "events_told": played.answers.summary().as_json(),
        "events_not_taken": played.answers.errors,
        "states": {state.value: count for state, count in sorted(states.items())},
        "success_rate": round(states[RunState.SUCCESS] / (len(clocks) + len(events)), 5),
        "missed": missed,
        "in_flight": most_at_once(verdict.evidence.deliveries),
        "open_runs_seen": played.under_way,
        "breaches_told": len(verdict.evidence.notifications),
        "governor": _governor(metrics),
        "history_events": _history(verdict.history_events, played),
        "usage": usage,
        "oracle": {
            "findings": verdict.findings[:MOST_FINDINGS],
            "count": len(verdict.findings),
        },
    }
    return found | {"aims": _aims(load, found)}


def most_at_once(deliveries: Iterable[Delivery]) -> int:
    """Executions that plugins had at one instant."""
    edges: list[tuple[datetime, int]] = []
    for found in deliveries:
        edges.append((found.started_at, 1))
        if found.ended_at:
            edges.append((found.ended_at, -1))
    most = now = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


def _first_calls(deliveries: Iterable[Delivery]) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    for found in deliveries:
        first.setdefault(found.key, found.started_at)
    return first


def _delays(called: Mapping[str, datetime], due: Mapping[str, datetime]) -> Latencies:
    """From the time of each run to the call of its plugin."""
    found = Latencies()
    for run_id, at in due.items():
        if run_id in called:
            found.seconds.append(max(0.0, (called[run_id] - at).total_seconds()))
        else:
            found.failed("not called")
    return found


def _governor(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """How long runs waited for an answer: the bounds of the buckets that the shares fall into."""
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in metrics["task_admission_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    count = max(buckets.values(), default=0.0)
    contended = metrics["task_admission_contended"].samples
    return {
        "answers": count,
        "contended": sum(sample.value for sample in contended),
        "p50_at_most_s": _bound(buckets, count * 0.5),
        "p99_at_most_s": _bound(buckets, count * 0.99),
    }


def _bound(buckets: Mapping[float, float], wanted: float) -> float:
    return next((le for le, value in sorted(buckets.items()) if value >= wanted), 0.0)


def _history(events: Mapping[str, int], played: Played) -> dict[str, float]:
    """Median and most of one run: of each nominal time, and of events."""
    kinds: dict[str, Sequence[str]] = {
        f"nominal time {number}": list(due) for number, due in enumerate(played.due, start=1)
    }
    kinds["events"] = [run_id for told in played.told for run_id in told]
    found: dict[str, float] = {}
    for kind, run_ids in kinds.items():
        counts = [events[run_id] for run_id in run_ids if run_id in events]
        if counts:
            found |= {f"{kind}, median": median(counts), f"{kind}, most": max(counts)}
    return found


def _aims(load: Load, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    rate, late = found["on_time_rate"], found["latency"]["p99_ms"]
    memory, wrong = found["usage"]["peak_memory_mb"].get("worker", 0), found["oracle"]["count"]
    return [
        {"aim": aim, "found": value, "met": met}
        for aim, value, met in (
            (f"on time: at least {ON_TIME_RATE:.0%}", rate, rate >= ON_TIME_RATE),
            (f"p99 of latency: below {P99_MS / 1000:g} s", late / 1000, late < P99_MS),
            ("findings of the oracle: 0", wrong, wrong == 0),
            (f"memory of the worker: below {WORKER_MB} MB", memory, memory < WORKER_MB),
            (
                f"executions at once: {load.in_flight}",
                found["in_flight"],
                found["in_flight"] >= load.in_flight,
            ),
        )
    ]
