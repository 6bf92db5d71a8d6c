"""The example files, and the moments between which the demo looks."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.due import due_times
from domain.events_in import parse_batch
from domain.ids import event_run_id
from domain.recovery import is_short
from domain.rules import RuleIndex, RuleSource
from sandbox.knobs import load_config
from starter.demo.scenario import EXAMPLES, MARGIN, due_runs, load_scenario, quiet_moment

BASE = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)


def test_every_example_task_has_its_expectation() -> None:
    """Tasks and expectations name each other, so no run of the demo goes unjudged."""
    scenario = load_scenario()
    assert {(task.tenant_id, task.task_id) for task in scenario.tasks} == scenario.expected.keys()
    assert len({task.tenant_id for task in scenario.tasks}) == 2


def test_the_example_events_run_what_is_expected() -> None:
    """By the rules of the tasks: one of the events is too small for the filter."""
    scenario = load_scenario()
    sources = [RuleSource(task, 1.0, "q", paused=False, limited=False) for task in scenario.tasks]
    events, runs = parse_batch(json.loads(scenario.batch)), dict[str, tuple[str, str]]()
    for event in events:
        for rule in RuleIndex.of(sources).match("acme", event).rules:
            key = (rule.task.tenant_id, rule.task.task_id)
            runs[event_run_id(*key, event.source, event.id)] = key
    assert runs == scenario.event_runs
    assert len(events) == 3
    assert len(runs) == 2


def test_one_of_the_example_plugins_accepts_its_work_and_reports() -> None:
    """Its task can wait for reports, and a silence that is allowed leaves time for a lost one."""
    plugins = load_config(EXAMPLES / "plugins.yaml").plugins
    tasks = [task for task in load_scenario().tasks if task.plugin_id in plugins]
    reported = [task for task in tasks if plugins[task.plugin_id].outcomes[0].reports]
    assert [task.task_id for task in reported] == ["catalog-export"]
    assert reported[0].heartbeat_timeout >= timedelta(seconds=10)
    assert not is_short(reported[0])


def test_the_examples_share_a_mutex_group() -> None:
    """The demo shows two tasks that are due at once and never run at once."""
    [(group, tasks)] = load_scenario().groups().items()
    assert group == "acme/warehouse"
    assert tasks == {("acme", "stock-count"), ("acme", "stock-sync")}


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=600_000))
def test_a_quiet_moment_is_far_from_every_fire(milliseconds: int) -> None:
    """Within the margin of the demo's first and last moment nothing fires, wherever one starts."""
    tasks = load_scenario().tasks
    after = BASE + timedelta(milliseconds=milliseconds)
    moment = quiet_moment(tasks, after)
    assert moment >= after
    for task in tasks:
        assert not list(due_times(task, after=moment - MARGIN, until=moment + MARGIN / 2))


def test_due_runs_are_the_fires_between_two_moments() -> None:
    """A ten-second task owes three runs in thirty seconds, each named by its nominal time."""
    task = next(task for task in load_scenario().tasks if task.task_id == "health-check")
    due = due_runs(task, BASE, BASE + timedelta(seconds=30))
    assert list(due) == [
        "run/acme/health-check-2026-11-23T08:00:10Z",
        "run/acme/health-check-2026-11-23T08:00:20Z",
        "run/acme/health-check-2026-11-23T08:00:30Z",
    ]
