"""What Temporal's SDK and workflow code count comes to the registry, once, and delays nobody."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, Worker

from domain.attributes import PROBE
from shared import metric_names as names
from shared.metrics import RunMetrics
from shared.sdk_metrics import SdkMetrics
from shared.settings import ROOT
from tests.metrics.overflow import SIZE
from tests.workflows.harness import Runs, fail, succeed
from tests.workflows.record import HISTORIES
from worker.build import new_worker, workflow_runner
from workflows.canary import Canary
from workflows.task_run import TaskRun
from workflows.work_order import WorkOrder

_SAID_BY_THE_STORIES = {
    *("task_execution_success_total", "task_execution_ended_total", "task_execution_retry_total"),
    *("task_execution_duration_seconds", "task_scheduler_trigger_latency_seconds"),
    *("task_compensation_total", "task_work_orders_opened_total", "task_work_orders_closed_total"),
}


class Counted:
    """A client whose SDK counts into a registry of its own."""

    def __init__(self, metrics: SdkMetrics, registry: CollectorRegistry) -> None:
        self.metrics = metrics
        self.registry = registry

    def value(self, metric: names.Metric, suffix: str = "", **labels: str) -> float | None:
        """What a scrape would show now; the labels that are given suffice to name it."""
        found = [
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"{metric.name}{suffix}" and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    async def client(self, temporal: Client) -> Client:
        """Of a server."""
        return await Client.connect(
            temporal.service_client.config.target_host,
            data_converter=pydantic_data_converter,
            runtime=self.metrics.runtime,
        )


@contextmanager
def counting(**options: Any) -> Iterator[Counted]:
    """With options of `SdkMetrics`."""
    registry = CollectorRegistry()
    metrics = SdkMetrics(registry, **options)
    RunMetrics(registry)
    metrics.start()
    try:
        yield Counted(metrics, registry)
    finally:
        metrics.stop()


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    """Shared by the tests of this file: a runtime has threads of its own."""
    with counting() as made:
        yield made


@pytest.fixture(scope="module")
async def client(counted: Counted, temporal: Client) -> Client:
    """Whose SDK is counted."""
    return await counted.client(temporal)


async def test_a_run_is_counted_with_all_that_it_was(client: Client, counted: Counted) -> None:
    """Attempts, ends, times: of runs that succeed at once, after a retry, never, and are undone."""
    runs = Runs(client)
    tenant = {"tenant_id": "counted", "plugin_id": "p"}
    retry = {"max_attempts": 2, "initial_interval": "100ms"}
    well = runs.script(succeed(), **tenant)
    late = runs.script(fail("BUSY"), succeed(), retry=retry, **tenant)
    ill = runs.script(fail("BROKEN", retryable=False), **tenant)
    undo = {"plugin_id": "undo", "params": {}}
    broken = fail("BROKEN", retryable=False)
    undone = runs.script(broken, succeed(), compensation=undo, **tenant)
    async with runs.worker():
        for task in (well, late):
            await (await runs.start(task)).result()
        await (await runs.start(undone)).result()
        with pytest.raises(WorkflowFailureError):
            await (await runs.start(ill)).result()

        def ended(status: str) -> float | None:
            return counted.value(names.ENDED, **tenant, status=status)

        assert (ended("SUCCESS"), ended("FAILED"), ended("COMPENSATED")) == (2, 1, 1)
    assert counted.value(names.SUCCESS, **tenant) == 2
    assert counted.value(names.FAILED, **tenant, error_code="BROKEN") == 1
    assert counted.value(names.RETRY, **tenant) == 1
    assert counted.value(names.COMPENSATION, plugin_id="undo", status="SUCCESS") == 1
    assert counted.value(names.RUN_SECONDS, "_count", plugin_id="p") == 4
    assert counted.value(names.TRIGGER_LATENCY, "_count", tenant_id="counted") == 4
    assert counted.value(names.SDK_TASK_SECONDS, "_count", task_queue=runs.queue) is not None
    ill_tasks = {"task_queue": runs.queue, "failure_reason": "NonDeterminismError"}
    assert counted.value(names.SDK_TASKS_FAILED, **ill_tasks) == 0


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_replay_counts_nothing(monkeypatch: pytest.MonkeyPatch, *, is_known: bool) -> None:
    """The same code goes the same ways, and says nothing of them; unless it knows no replay."""
    if not is_known:
        monkeypatch.setattr(workflow.unsafe, "is_replaying", lambda: False)
    with counting() as counted:
        replayer = Replayer(
            workflows=[TaskRun, WorkOrder],
            workflow_runner=workflow_runner(),
            data_converter=pydantic_data_converter,
            runtime=counted.metrics.runtime,
        )
        for name in ("success", "retried_by_itself", "compensated", "work_order"):
            said = json.loads((HISTORIES / f"{name}.json").read_text())
            history = WorkflowHistory.from_json(said["workflow_id"], said["history"])
            await replayer.replay_workflow(history)
        counted.metrics.drain()
        found = {
            metric.name: counted.value(metric, "_count" if metric.buckets else "")
            for metric in RunMetrics.METRICS
        }
    said_by = {name for name, value in found.items() if value}
    assert said_by == (set() if is_known else _SAID_BY_THE_STORIES)


async def test_a_workflow_that_is_forgotten_between_its_steps_is_counted_once(
    client: Client, counted: Counted
) -> None:
    """A worker without memory replays a run from its beginning at each of its steps."""
    runs = Runs(client)
    tenant = {"tenant_id": "forgotten", "plugin_id": "p"}
    retry = {"max_attempts": 2, "initial_interval": "100ms"}
    task = runs.script(fail("BUSY"), succeed(), retry=retry, **tenant)
    forgetful = Worker(
        client,
        task_queue=runs.queue,
        workflows=[TaskRun],
        activities=[runs.plugin.execute_plugin, *runs.outside.activities()],
        workflow_runner=workflow_runner(),
        max_cached_workflows=0,
    )
    async with runs.calling(), forgetful:
        await (await runs.start(task)).result()
    assert counted.value(names.RETRY, **tenant) == 1
    assert counted.value(names.ENDED, **tenant, status="SUCCESS") == 1
    assert counted.value(names.TRIGGER_LATENCY, "_count", tenant_id="forgotten") == 1


@pytest.mark.fault(32)
def test_a_buffer_that_is_full_keeps_no_run_from_its_end(temporal: Client) -> None:
    """Nobody empties it: runs end all the same, what was lost is told, and no line said for each.

    In a process of its own: there the SDK's lines go where its first runtime sends them.
    """
    address = temporal.service_client.config.target_host
    command = [sys.executable, "-m", "tests.metrics.overflow", address]
    said = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=True
    )
    told = json.loads(said.stdout)
    assert told["ended"] == ["SUCCESS"] * 3
    assert told["lost"] > SIZE
    assert "buffer is full" not in said.stdout + said.stderr


@pytest.mark.fault(32)
def test_an_exporter_that_is_broken_is_told_and_goes_on(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape shows what there is, and how often nothing could be read."""

    def broken() -> Any:
        raise RuntimeError("no updates today")

    before = counted.value(names.METRICS_LOST, reason="unreadable") or 0
    monkeypatch.setattr(counted.metrics._buffer, "retrieve_updates", broken)
    assert "task_metrics_lost_total" in generate_latest(counted.registry).decode()
    monkeypatch.undo()
    assert (counted.value(names.METRICS_LOST, reason="unreadable") or 0) > before


def test_lines_of_the_sdk_are_logged_but_for_those_of_lost_updates(counted: Counted) -> None:
    """One line for each of ten thousand would be another trouble: they are counted."""
    before = counted.value(names.METRICS_LOST, reason="buffer_full") or 0
    logger = logging.getLogger("temporalio.core")
    for text, passes in (("Core's metrics buffer is full! Dropping", False), ("hello", True)):
        record = logging.LogRecord("temporalio.core", logging.ERROR, "", 0, text, (), None)
        assert bool(logger.filter(record)) is passes
    assert counted.value(names.METRICS_LOST, reason="buffer_full") == before + 1


async def test_a_canary_goes_the_way_of_runs(client: Client, counted: Counted) -> None:
    """When the last step does nothing, it has come through; when it breaks, it says so."""
    ways = {"open": True}

    @activity.defn(name=PROBE)
    async def probe() -> None:
        if not ways["open"]:
            raise ApplicationError("out of order", non_retryable=True)

    queue = Runs(client).queue
    async with new_worker(client, task_queue=queue, workflows=[Canary], activities=[probe]):
        await client.execute_workflow(Canary.run, id=f"{queue}-1", task_queue=queue)
        assert counted.value(names.CANARY_SECONDS, "_count") == 1
        assert (counted.value(names.CANARY_AT) or 0) > 1_700_000_000
        ways["open"] = False
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(Canary.run, id=f"{queue}-2", task_queue=queue)
    assert "out of order" in str(caught.value.cause)
    assert counted.value(names.CANARY_FAILED) == 1
    assert counted.value(names.CANARY_SECONDS, "_count") == 1
