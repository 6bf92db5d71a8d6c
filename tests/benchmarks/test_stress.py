"""A small stress, from the registration to the verdict, and that the verdict can be a bad one."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from benchmarks.stress.__main__ import exit_code, stress
from benchmarks.stress.figures import most_at_once
from benchmarks.stress.load import Load
from domain.states import RunState
from tests.killed.oracle import Evidence, wrong

LOAD = Load(
    tasks=24,
    tenants=2,
    stagger=timedelta(seconds=3),
    in_flight=16,
    spare=timedelta(seconds=25),
)
Found = tuple[dict[str, Any], Evidence]


@pytest.fixture(scope="module")
async def found() -> Found:
    """What it measured, and the evidence."""
    return await stress(LOAD)


def test_the_oracle_has_nothing_against_a_small_stress(found: Found) -> None:
    """Every run that was due happened once, and nothing was left behind."""
    document, _ = found
    assert document["oracle"] == {"findings": [], "count": 0}
    assert exit_code(document) == 0
    assert document["registration"]["tasks"] == LOAD.tasks
    assert document["states"] == {"SUCCESS": document["due"]}
    assert (document["success_rate"], document["missed"]) == (1, 0)


def test_all_that_was_asked_for_is_in_the_document(found: Found) -> None:
    """Latencies of every run, what governors took, memory and processor time of each process."""
    document, evidence = found
    json.dumps(document, default=str)
    clocks, events = document["latency"], document["latency_of_events"]
    assert clocks["count"] == LOAD.times * LOAD.tasks
    assert events["count"] == document["events_told"]["count"] > 0
    assert clocks["count"] + events["count"] == document["due"] == len(evidence.due)
    assert sum(one["count"] for one in document["latency_by_nominal_time"]) == clocks["count"]
    assert document["governor"]["answers"] >= document["due"]
    assert 0 < document["governor"]["p50_at_most_s"] <= document["governor"]["p99_at_most_s"]
    assert document["history_events"]["nominal time 1, median"] > 10
    usage = document["usage"]
    for process in ("temporal", "worker", "api", "sandbox"):
        assert usage["peak_memory_mb"][process] > 10
        assert usage["cpu_s"][process] > 0
    assert [aim["aim"] for aim in document["aims"] if not isinstance(aim["met"], bool)] == []


def test_runs_of_the_last_nominal_time_are_under_way_at_once(found: Found) -> None:
    """Their plugins accepted them, and had more at one instant than ever at the one before."""
    document, evidence = found
    accepted = [found for found in evidence.deliveries if found.outcome != "ok"]
    assert {found.plugin_id for found in accepted} == {"steady", "exclusive"}
    assert all((found.outcome or "").startswith("accept:") for found in accepted)
    assert document["in_flight"] == most_at_once(evidence.deliveries)
    assert document["in_flight"] > most_at_once(
        found for found in evidence.deliveries if found.outcome == "ok"
    )


def test_the_oracle_can_find_something(found: Found) -> None:
    """Evidence that lacks a run, or has an effect or an end too many, is a bad end."""
    document, good = found
    first, *others = good.runs
    bad = [
        replace(good, runs=others),
        replace(good, runs=[replace(first, status=RunState.RUNNING), *others]),
        replace(good, due=good.due - {first.run_id}),
        replace(
            good,
            deliveries=[
                *good.deliveries,
                good.deliveries[-1].model_copy(update={"effect": 10**6, "delivery": 2}),
            ],
        ),
    ]
    for evidence in bad:
        findings = wrong(evidence)
        assert findings
        assert exit_code(document | {"oracle": {"count": len(findings)}}) == 1
