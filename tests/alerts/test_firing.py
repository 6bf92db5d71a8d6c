"""A breach becomes an alert: real runs, a real worker, and a real Prometheus that scrapes it."""

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client

from domain.document import Document
from domain.policy import Policy
from domain.registration import read_registration
from domain.run import TaskRunResult
from domain.states import RunState
from sandbox.client import SandboxClient
from shared.metric_names import METRICS, SDK_REQUESTS
from starter.control import trigger
from starter.dev.ports import HOST, Wanted, settle
from starter.registry import carry_out, make_plan
from tests.alerts.programs import Prometheus, prometheus
from tests.alerts.promql import TARGET, read
from tests.alerts.shipped import OF_OTHERS, alerts, known, rules, scraped
from tests.alerts.test_queries import filled, panels, queries
from tests.executions.harness import until
from tests.watch.processes import process, setting

QUEUE = "alerts"
SLOW = {
    "tenant_id": "acme",
    "task_id": "slow-report",
    "plugin_id": "slow",
    "triggers": [{"at": "2099-01-01T00:00:00Z"}],
    "overlap": "allow",
    "sla": {"start_within": "1s", "finish_within": "1s", "severity": "low"},
}
BROKEN = SLOW | {"task_id": "broken-report", "plugin_id": "broken", "retry": {"max_attempts": 1}}


@dataclass(frozen=True, slots=True)
class Live:
    """The product under Prometheus' eyes."""

    client: Client
    prometheus: Prometheus
    pages: dict[str, str]
    """Where each job's metrics are."""


@pytest.fixture(scope="module")
async def live(plugin_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """Temporal, a worker, the API and Prometheus, a process each."""
    folder = tmp_path_factory.mktemp("alerts")
    place = setting(folder, plugin_url, QUEUE)
    metrics, api = settle([Wanted("metrics", "", 0), Wanted("api", "", 0)])
    worker = [sys.executable, "-m", "tests.alerts.quick_worker"]
    door = [sys.executable, "-m", "starter.api", f"--port={api}"]
    jobs = {"taskflow-worker": metrics, "taskflow-api": api}
    with (
        process(folder / "server.log", *place.server),
        process(
            folder / "worker.log", *worker, **place.environment, TASKFLOW_METRICS_PORT=str(metrics)
        ),
        process(folder / "api.log", *door, **place.environment),
    ):
        pages = {job: f"http://{HOST}:{port}/metrics" for job, port in jobs.items()}
        async with prometheus(folder, jobs) as watching:
            yield Live(await place.client(), watching, pages)


async def test_three_breaches_in_a_row_become_an_alert(
    live: Live, plugin: SandboxClient, policy: Policy
) -> None:
    """Nobody reports it: the runs break their SLA, and Prometheus comes to know by itself."""
    await plugin.configure("slow", latency=2.0)
    await plugin.configure("broken", script=["fail:BROKEN"])
    registration = read_registration(Document({"tasks": [SLOW, BROKEN]}), policy)
    await carry_out(live.client, await make_plan(live.client, registration, task_queue=QUEUE))

    async def all_up() -> bool:
        found = await live.prometheus.targets()
        return found == dict.fromkeys([*live.pages, "prometheus"], "up")

    await until(all_up)
    assert "TaskflowSlaConsecutiveBreaches" not in await live.prometheus.firing()
    await trigger(live.client, "acme", "broken-report")
    await live.client.start_workflow("Unheard", id="unheard", task_queue=QUEUE)
    runs = [await trigger(live.client, "acme", "slow-report") for _ in range(3)]
    for run_id in runs:
        handle = live.client.get_workflow_handle(run_id, result_type=TaskRunResult)
        ended: TaskRunResult = await handle.result(rpc_timeout=timedelta(seconds=30))
        assert ended.status is RunState.SUCCESS

    async def firing() -> dict[str, Any] | None:
        return (await live.prometheus.firing()).get("TaskflowSlaConsecutiveBreaches")

    alert = await until(firing)
    assert alert["labels"] == {
        "alertname": "TaskflowSlaConsecutiveBreaches",
        "severity": "critical",
        "tenant_id": "acme",
    }
    shipped = alerts()["TaskflowSlaConsecutiveBreaches"]["annotations"]
    assert alert["annotations"] == shipped | {
        "summary": "A task of tenant acme broke its SLA 3 times in a row"
    }
    assert set(await live.prometheus.firing()) == {"TaskflowSlaConsecutiveBreaches"}


async def test_rules_can_be_evaluated_on_what_is_scraped(live: Live) -> None:
    """None meets series that it cannot join."""

    async def evaluated() -> list[dict[str, Any]] | None:
        groups = (await live.prometheus.asks("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None

    found = await until(evaluated)
    assert len(found) == len(rules())
    assert [rule for rule in found if rule["health"] != "ok"] == []


async def test_panels_can_be_asked_and_mostly_have_something_to_show(live: Live) -> None:
    """A query that parses may still join what is there more than once."""
    shown, empty = list[str](), list[str]()
    for panel in panels():
        for target in panel["targets"]:
            answer = await live.prometheus.asks("query", query=filled(target["expr"]))
            assert answer is not None, target["expr"]
            (shown if answer["result"] else empty).append(target["expr"])
    assert len(shown) > 2 * len(empty), "\n".join(empty)


async def test_every_metric_of_the_table_is_on_a_page(live: Live) -> None:
    """From the start, also what nothing was counted of yet; and nothing of ours is untold."""
    async with httpx.AsyncClient(trust_env=False) as http:
        found = {job: (await http.get(url)).text for job, url in live.pages.items()}
    named = {
        job.removeprefix("taskflow-"): set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
        for job, text in found.items()
    }
    named["sdk"] = named["worker"]
    for metric in METRICS:
        if metric.source in named:
            assert metric.name in named[metric.source], metric
    ours = {name for name in named["worker"] | named["api"] if name.startswith("task_")}
    assert ours <= {metric.name for metric in METRICS}
    assert SDK_REQUESTS.name in named["api"]


async def test_every_query_names_what_a_live_scrape_has(live: Live) -> None:
    """Each metric is on a page, and its series have the labels that the queries rest on."""
    named = set().union(*(read(query, known()).names for _, query in queries()))
    wanted = named & scraped().keys() - {"up", "ALERTS"}
    found: dict[str, set[str]] = {}
    async with httpx.AsyncClient(trust_env=False) as http:
        for url in live.pages.values():
            for family in text_string_to_metric_families((await http.get(url)).text):
                for ending in {
                    "counter": ["_total"],
                    "histogram": ["_bucket", "_sum", "_count"],
                }.get(family.type, [""]):
                    found.setdefault(f"{family.name}{ending}", set())
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
    assert sorted(wanted - found.keys()) == []
    with_series = {name for name in wanted - OF_OTHERS.keys() if found[name]}
    lacking = {name: known()[name] - TARGET - found[name] for name in with_series}
    assert {name: labels for name, labels in lacking.items() if labels} == {}
    assert len(with_series) > 25
