"""The simulation of many tasks, with few: what must hold whatever it is asked."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.million.__main__ import main
from benchmarks.million.mix import DEFAULT, Mix, read_mix, sizes_of
from benchmarks.million.play import AT_ONCE, ENDS, QUEUE_TIMEOUT, WAITED, Played, play
from benchmarks.million.simulation import NAMESPACE, Options, simulate
from benchmarks.million.tally import longest_wait, rate_needed
from benchmarks.million.tenants import Drawn, Draws
from domain.agenda import Span
from domain.durations import Durations
from domain.forecast import Forecast, forecast
from domain.policy import Policy
from domain.simulation import Outcome

TASKS, TENANTS, MINUTES = 2000, 20, 60
HOUR = timedelta(minutes=MINUTES)


@pytest.fixture(scope="module")
def mix() -> Mix:
    """The default mix, of few tasks."""
    return read_mix(DEFAULT, tasks=TASKS, tenants=TENANTS)


def simulated(mix: Mix, policy: Policy, seed: int = 1) -> dict[str, Any]:
    """A document without what differs from run to run."""
    found = simulate(Options(mix, policy, MINUTES, seed, 40.0))
    del found["cost"]
    return found


@pytest.fixture(scope="module")
def found(mix: Mix, policy: Policy) -> dict[str, Any]:
    """One simulation."""
    return simulated(mix, policy)


@pytest.fixture(scope="module")
def drawn(mix: Mix, policy: Policy) -> Drawn:
    """The largest tenant that has a `max_concurrent`."""
    draws = Draws(mix, policy, 1)
    tenants = (draws.tenant(number, size) for number, size in enumerate(sizes_of(mix)))
    return next(tenant for tenant in tenants if tenant.limits.max_concurrent)


@pytest.fixture(scope="module")
def played(mix: Mix, drawn: Drawn) -> Played:
    """Its hour."""
    return play(drawn, mix.start, mix.start + HOUR, NAMESPACE)


@pytest.fixture(scope="module")
def foreseen(mix: Mix, drawn: Drawn) -> Forecast:
    """The same hour by the forecast."""
    return forecast(
        {
            (task.tenant_id, task.task_id): (Span(mix.start - timedelta(days=365), None, task),)
            for task in drawn.tasks
        },
        {drawn.tenant_id: drawn.limits},
        Durations(),
        start=mix.start,
        end=mix.start + HOUR,
        namespace_id=NAMESPACE,
        propose=False,
    )


def test_the_same_seed_gives_the_same_answer(
    mix: Mix, policy: Policy, found: dict[str, Any]
) -> None:
    """To the last figure; another seed gives another one."""
    assert simulated(mix, policy) == found
    few = mix.model_copy(update={"tasks": 200})
    assert simulated(few, policy) != simulated(few, policy, seed=2)


def test_every_fire_comes_to_one_end(found: dict[str, Any]) -> None:
    """None is lost and none counts twice, and the ledgers say the same of those they decided."""
    assert found["conserved"]
    assert found["fires"] == sum(found["ends"].values()) > TASKS
    assert set(found["ends"]) == set(ENDS)
    ledgers = found["governors"]["ledgers"]
    assert ledgers["attempts"] == ledgers["granted"] + ledgers["refused"] + ledgers["timed_out"]
    assert ledgers["timed_out"] == found["ends"][QUEUE_TIMEOUT]
    assert found["queue"]["waited"] == found["ends"][WAITED] > 0
    assert found["per_tenant"]["fires"]["sum"] == found["fires"]
    assert found["per_tenant"]["tasks"]["sum"] == found["tasks"] == TASKS


def test_a_fire_that_is_lost_shows(mix: Mix, drawn: Drawn) -> None:
    """The check of the ends fails when one of them is taken away."""
    played = play(drawn, mix.start, mix.start + HOUR, NAMESPACE)
    assert played.is_conserved()
    played.ends[AT_ONCE] -= 1
    assert not played.is_conserved()


def test_it_says_what_the_forecast_says(played: Played, foreseen: Forecast) -> None:
    """For a tenant with a quota: as many fires and conflicts, the same waits and the same ends."""
    assert (played.tasks, played.fires) == (foreseen.tasks, foreseen.fires)
    assert played.conflicts == foreseen.total == len(foreseen.conflicts) > 0
    short = [conflict for conflict in foreseen.conflicts if conflict.kind != "sla"]
    waits = [conflict.wait_s for conflict in short if conflict.wait_s]
    assert sorted(played.waits) == sorted(waits)
    assert len(waits) == played.ends[WAITED] > 0
    outcomes = Counter(conflict.outcome for conflict in short)
    assert outcomes[Outcome.QUEUE_TIMEOUT] == played.ends[QUEUE_TIMEOUT]
    assert sum(outcomes.values()) - len(waits) == played.fires - played.ends[AT_ONCE] - len(waits)


def test_runs_begin_and_end_as_their_fires_say(played: Played) -> None:
    """Each that goes begins once and is over once, and nobody leaves a queue who was not in it."""
    ran = played.ends[AT_ONCE] + played.ends[WAITED]
    assert sum(played.began.values()) == sum(played.over.values()) == ran
    assert sum(played.queued.values()) == sum(played.left.values())
    assert sum(played.queued.values()) == played.ends[WAITED] + played.ends[QUEUE_TIMEOUT]
    waiting = 0
    for second in sorted(played.queued.keys() | played.left.keys()):
        waiting += played.queued[second] - played.left[second]
        assert waiting >= 0
    assert waiting == 0


def test_stagger_takes_the_peak_away(mix: Mix, policy: Policy, found: dict[str, Any]) -> None:
    """With it the busiest second has fewer starts than the triggers say; without, as many."""
    starts = found["starts"]
    assert starts["as_started"]["max"] < starts["as_named"]["max"] / 2
    assert starts["needed_as_started"] < starts["needed_as_named"] / 2
    few = {"staggered": 0.0, "tasks": 200}
    starts = simulated(mix.model_copy(update=few), policy)["starts"]
    assert starts["as_started"]["max"] > 0.9 * starts["as_named"]["max"]


def test_all_tasks_are_given_to_tenants(mix: Mix) -> None:
    """The largest first, none without a task, and without skew all alike."""
    sizes = sizes_of(mix)
    assert sum(sizes) == TASKS
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1] > 0
    alike = sizes_of(mix.model_copy(update={"skew": 0.0}))
    assert set(alike) == {TASKS // TENANTS}


def test_how_late_the_last_of_a_storm_is() -> None:
    """A hundred in one second at ten a second take ten, and a pause of a second is worth ten."""
    assert longest_wait({5: 100}, 10.0) == pytest.approx(10.0)
    assert longest_wait({5: 100, 6: 0, 7: 100}, 10.0) == pytest.approx(18.0)
    assert longest_wait({}, 10.0) == 0.0
    assert rate_needed({5: 600}, 60.0) == pytest.approx(10.0, rel=0.01)


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json`; and without, tables that fit a terminal."""
    few = ["--tasks", "200", "--tenants", "5", "--minutes", "30"]
    assert main([*few, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["tasks"], document["minutes"]) == (200, 30)
    assert {part["part"] for part in document["reached"]}
    assert main(few) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("What is reached first" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_mix_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong: a field that is not known, or a task that no registration would take."""
    said = DEFAULT.read_text()
    file = tmp_path / "mix.yaml"
    file.write_text(said.replace("skew:", "skewed:"))
    assert main(["--mix", str(file)]) == 1
    assert "skewed" in capsys.readouterr().err
    file.write_text(said.replace("stagger: 10m", "stagger: 2h"))
    assert main(["--mix", str(file)]) == 1
    assert "stagger" in capsys.readouterr().err
