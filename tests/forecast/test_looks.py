"""One look of the forecast: what it scores, of whom, and what it counts."""

from datetime import UTC, datetime
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from domain.attributes import GOVERNOR
from domain.governor import GovernorStart
from domain.ids import governor_id
from domain.scoring import ForecastTick, Score
from shared.governor import view_governor
from shared.metrics import ForecastMetrics
from tests.admission.harness import new_tenant
from tests.forecast.harness import Ahead, scored


async def test_a_conflict_that_nobody_foresaw_is_a_miss_and_is_said(ahead: Ahead) -> None:
    """Who, when, and about what: for whoever wants to know why."""
    tenant, before = new_tenant(), datetime.now(UTC)
    _, second = await ahead.collide(tenant)

    ticked = await scored(ahead.forecast(), before)

    [sentence] = ticked.missed
    assert sentence.startswith(f"{tenant}/{second.task_id} at ")
    assert sentence.endswith("mutex warehouse was not foreseen")
    assert ticked.score == Score(misses=1)


async def test_a_run_by_hand_is_no_miss(ahead: Ahead) -> None:
    """Nobody can foresee when a person wants a run, so it counts as neither."""
    tenant, before = new_tenant(), datetime.now(UTC)
    await ahead.collide(tenant, by_hand=True)

    ticked = await scored(ahead.forecast(), before)

    assert (ticked.score, ticked.missed) == (Score(by_hand=1), [])


async def test_the_first_look_scores_nothing(ahead: Ahead) -> None:
    """What was before it, nobody could have foreseen."""
    await ahead.collide(new_tenant())
    ticked = await ahead.forecast().tick(ForecastTick(now=datetime.now(UTC)))
    assert ticked.score == Score()


async def test_a_governor_that_does_not_answer_is_left_out(
    ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look goes on with the others, and scores theirs."""
    monkeypatch.setattr("activities.forecast.view_governor", partial(view_governor, patience=1.0))
    silent, tenant, before = new_tenant(), new_tenant(), datetime.now(UTC)
    governor = await ahead.client.start_workflow(
        GOVERNOR, GovernorStart(tenant_id=silent), id=governor_id(silent), task_queue="nobody"
    )
    try:
        await ahead.collide(tenant)
        await ahead.listed_governor(silent)
        ticked = await scored(ahead.forecast(), before)
    finally:
        await governor.terminate()
    assert ticked.score == Score(misses=1)


async def test_what_is_scored_is_counted(ahead: Ahead) -> None:
    """Each look adds to the counters of its worker."""
    registry, before = CollectorRegistry(), datetime.now(UTC)
    forecast = ahead.forecast(registry)
    await ahead.collide(new_tenant())
    await scored(forecast, before)
    assert registry.get_sample_value("task_forecast_misses_total") == 1
    assert registry.get_sample_value("task_forecast_hit_rate") == 0


def test_looks_add_up_to_counters_and_a_rate() -> None:
    """The rate is that of all looks; what is ahead is that of the last one."""
    registry = CollectorRegistry()
    metrics = ForecastMetrics(registry)
    metrics.count(Score(), 7)
    assert str(registry.get_sample_value("task_forecast_hit_rate")) == "nan"  # none was scored
    metrics.count(Score(hits=8, misses=1, false_alarms=2, by_hand=5), 6)
    metrics.count(Score(hits=1), 4)

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"task_forecast_{name}")

    assert value("hits_total") == 9
    assert value("misses_total") == 1
    assert value("false_alarms_total") == 2
    assert value("conflicts") == 4
    assert value("hit_rate") == 0.9
