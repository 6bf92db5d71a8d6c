"""A live scrape of a worker and an API, as Prometheus sees it, after runs of every kind."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared import metric_names as names
from shared.metric_names import Metric
from tests.starter.harness import eventually
from tests.whole.marked import Marked
from tests.whole.test_dev import url_of

pytestmark = pytest.mark.soak

TENANT = {"tenant_id": "acme"}
YEARLY = [{"at": "2099-01-01T00:00:00Z"}]
SLA = {"start_within": "1m", "finish_within": "1m"}
TASKS: list[dict[str, Any]] = [
    {"task_id": "well", "plugin_id": "fine", "sla": SLA, "mutex": ["warehouse"]},
    {
        "task_id": "ill",
        "plugin_id": "broken",
        "work_order": "on_failure",
        "compensation": {"plugin_id": "fine", "params": {}},
        "retry": {"max_attempts": 2, "initial_interval": "100ms"},
    },
    {
        "task_id": "lost",
        "plugin_id": "broken",
        "retry": {"max_attempts": 1},
        "sla": SLA,
        "work_order": "both",
    },
]
FINISHED = ("SUCCESS", "COMPENSATED", "FAILED")


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page, read."""

    text: str

    def value(self, metric: Metric, suffix: str = "", **labels: str) -> float:
        """The sum of what has these labels."""
        lines = [line for line in self.text.splitlines() if line.startswith(metric.name)]
        return sum(
            sample.value
            for family in text_string_to_metric_families("\n".join(lines))
            for sample in family.samples
            if sample.name == f"{metric.name}{suffix}" and labels.items() <= sample.labels.items()
        )


@dataclass(frozen=True, slots=True)
class Live:
    """A worker and an API that have done something."""

    worker_url: str
    api_url: str

    def worker(self) -> Scrape:
        """What the worker says now."""
        return Scrape(httpx.get(self.worker_url, trust_env=False).text)

    def api(self) -> Scrape:
        """What the API says now."""
        return Scrape(httpx.get(f"{self.api_url}/metrics", trust_env=False).text)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, plugin_url: str) -> Iterator[Live]:
    """A stack of `taskflow dev`, and three runs in it."""
    marked = Marked(tmp_path_factory.mktemp("live"))
    ports = ("--port", "0", "--api-port", "0", "--metrics-port", "0")
    try:
        dev = marked.start_python(
            *("-m", "starter.dev", "--parts", "temporal", "worker", "api", *ports),
            TASKFLOW_PLUGIN_URL=plugin_url,
        )
        lines = []
        for line in dev.stdout or ():
            lines.append(line)
            if line.startswith("taskflow dev: ready"):
                break
        assert dev.poll() is None, lines
        found = Live(url_of("worker", lines), url_of("api", lines))
        api = httpx.Client(base_url=f"{found.api_url}/internal", params=TENANT, trust_env=False)
        with api, httpx.Client(base_url=plugin_url, trust_env=False) as sandbox:
            knobs = {"script": ["fail:DISK_FULL"]}
            assert sandbox.put("/control/plugins/broken", json=knobs).is_success
            groups = {"tenants": [TENANT | {"mutex_groups": {"warehouse": 1}}]}
            assert api.post("/tasks/register", json=groups).is_success
            for task in TASKS:
                said = TENANT | {"triggers": YEARLY} | task
                answer = api.post("/tasks/register", json=said)
                assert answer.status_code == 201, answer.text
                assert api.post(f"/tasks/{task['task_id']}/trigger").is_success
            eventually(lambda: _have_ended(api), within=60)
        yield found
        dev.send_signal(signal.SIGTERM)
        output, _ = dev.communicate(timeout=30)
        assert dev.returncode == 0, output
    finally:
        marked.kill_survivors()


def _have_ended(api: httpx.Client) -> bool:
    lists = [api.get(f"/tasks/{task['task_id']}/runs").json()["runs"] for task in TASKS]
    return sorted(run["status"] for runs in lists for run in runs) == sorted(FINISHED)


def test_runs_are_counted_by_how_they_ended(live: Live) -> None:
    """One of each kind, with its attempts, its time and its work order."""

    def ended(scrape: Scrape) -> list[float]:
        return [scrape.value(names.ENDED, **TENANT, status=status) for status in FINISHED]

    eventually(lambda: ended(live.worker()) == [1, 1, 1])
    page = live.worker()
    assert page.value(names.SUCCESS, **TENANT, plugin_id="fine") == 1
    assert page.value(names.FAILED, **TENANT, plugin_id="broken", error_code="DISK_FULL") == 1
    assert page.value(names.RETRY, **TENANT, plugin_id="broken") == 1
    assert page.value(names.COMPENSATION, plugin_id="fine", status="SUCCESS") == 1
    assert page.value(names.RUN_SECONDS, "_count", plugin_id="broken") == 2
    assert page.value(names.TRIGGER_LATENCY, "_count", **TENANT) == 3
    assert page.value(names.ADMISSION_ATTEMPTS) == 1
    assert page.value(names.ADMISSION_SECONDS, "_count") == 1
    assert page.value(names.OPEN_CALLS) == 0
    assert page.value(names.BREACHES, kind="FAILED", **TENANT) == 2
    assert page.value(names.WORKER_INFO) == 1
    queue = {"task_queue": "taskflow", "workflow_type": "TaskRun"}
    assert page.value(names.SDK_TASK_SECONDS, "_count", **queue) >= 3
    reasons = page.value(names.SDK_TASKS_FAILED, **queue)
    assert reasons == 0
    assert 'failure_reason="NonDeterminismError"' in page.text
    api = live.api()
    assert api.value(names.API_REQUESTS, method="POST", status="201") == len(TASKS)
    assert api.value(names.SDK_REQUESTS, operation="CreateSchedule") == len(TASKS)


def test_what_is_looked_up_is_there(live: Live) -> None:
    """Open work orders, the watch, the forecast and the canary, from Temporal itself."""

    def seen() -> bool:
        page = live.worker()
        orders = page.value(names.ORDERS_OPEN) == page.value(names.ORDERS_OPENED) == 2
        came = page.value(names.CANARY_AT) and page.value(names.CANARY_SECONDS, "_count")
        looked = page.value(names.WATCH_TICK_AT) and page.value(names.FORECAST_AT)
        return orders and bool(came and looked)

    eventually(seen, within=60)
    page = live.worker()
    assert page.value(names.CANARY_FAILED) == 0
    assert page.value(names.LOOKS_FAILED) == 0
    assert page.value(names.BACKLOG, queue="taskflow-plugins", kind="activity") == 0
    assert page.value(names.METRICS_LOST) == 0
