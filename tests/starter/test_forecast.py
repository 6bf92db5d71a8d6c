"""`taskflow forecast`: what is registered, looked at through the rules that decide live."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from shared.durations import learn_durations
from tests.starter.harness import Cli, eventually, eventually_async

COLLIDING = """\
tenants:
  - tenant_id: {tenant}
    mutex_groups: {{warehouse: 1}}
tasks:
  - tenant_id: {tenant}
    task_id: daily-report
    plugin_id: success
    triggers: [{{cron: "0 2 * * *", timezone: Asia/Shanghai}}]
    mutex: [warehouse]
    expected_duration: 4m
  - tenant_id: {tenant}
    task_id: warehouse-sync
    plugin_id: success
    triggers: [{{cron: "0 2 * * *", timezone: Asia/Shanghai}}]
    mutex: [warehouse]
"""


@pytest.mark.usefixtures("worker")
def test_a_collision_is_foreseen_with_what_clears_it(cli: Cli, tenant: str) -> None:
    """Who waits for whom, how long, and the cron that avoids it, as JSON and on a screen."""
    cli.ok("apply", cli.file("tasks.yaml", COLLIDING.format(tenant=tenant)))

    found = eventually(lambda: both_known(cli))
    screen = cli.ok("forecast")

    assert (found["tasks"], found["fires"], found["conflicts_total"]) == (2, 2, 1)
    [conflict] = found["conflicts"]
    start = datetime.fromisoformat(found["from"])
    assert datetime.fromisoformat(found["to"]) - start == timedelta(hours=24)
    assert conflict == {
        "at": conflict["at"],
        "tenant_id": tenant,
        "kind": "mutex",
        "resource": "warehouse",
        "tasks": ["warehouse-sync", "daily-report"],
        "wait_s": 240.0,
        "outcome": "waits",
        "run_id": f"run/{tenant}/warehouse-sync-{conflict['at']}",
        "timezone": "Asia/Shanghai",
        "proposal": {
            "task_id": "warehouse-sync",
            "shift_s": 240,
            "text": 'fire warehouse-sync 4 min later: cron "4 2 * * *"',
        },
    }
    assert conflict["at"].endswith("T18:00:00Z")
    assert max(len(line) for line in screen.splitlines()) <= 100
    for text in ("warehouse-sync waits", "02:00 +08:00", "18:00 UTC", "4m", "-> fire"):
        assert text in screen
    assert "1 conflict in the next 24 h: 2 fires of 2 tasks." in screen


@pytest.mark.usefixtures("worker")
def test_an_sla_that_will_break_is_foreseen(cli: Cli, tenant: str) -> None:
    """Beside the wait stands what it breaks: a run that waits four minutes starts too late."""
    sla = "    sla: {start_within: 2m}\n"
    cli.ok("apply", cli.file("tasks.yaml", COLLIDING.format(tenant=tenant) + sla))

    found = eventually(lambda: both_known(cli))["conflicts"]

    assert [(one["kind"], one["resource"], one["tasks"][0]) for one in found] == [
        ("mutex", "warehouse", "warehouse-sync"),
        ("sla", "start_within", "warehouse-sync"),
    ]
    screen = cli.ok("forecast")
    assert "sla" in screen
    assert "start_within" in screen


@pytest.mark.usefixtures("worker")
def test_no_conflict_is_a_sentence(cli: Cli, tenant: str) -> None:
    """Of a tenant without tasks too, and a paused task does not fire."""
    assert cli.ok("forecast", "--hours", "2") == (
        "No conflict in the next 2 h: 0 fires of 0 tasks.\n"
    )
    cli.ok("apply", cli.file("tasks.yaml", COLLIDING.format(tenant=tenant)))
    eventually(lambda: both_known(cli))
    cli.ok("pause", "daily-report", "--reason", "rest")

    assert eventually(lambda: cli.json("forecast")["fires"] == 1)
    assert cli.json("forecast")["conflicts"] == []


def test_without_a_worker_it_says_to_start_one(cli: Cli, tenant: str) -> None:
    """What is registered is known to the registries, and only a worker lets them answer."""
    queue = {"TASKFLOW_TASK_QUEUE": f"nobody-{uuid.uuid4().hex}"}
    file = cli.file("tasks.yaml", COLLIDING.format(tenant=tenant))
    assert cli.run("apply", file, **queue).code == 0

    ended = eventually(lambda: refused(cli, queue))

    assert ended.startswith("no worker answers")
    assert "taskflow worker" in ended


def test_hours_out_of_bounds_are_bad_usage(cli: Cli) -> None:
    """A week at the most."""
    assert cli.run("forecast", "--hours", "0").code == 2
    assert cli.run("forecast", "--hours", "1000").code == 2


@pytest.mark.usefixtures("worker")
async def test_durations_are_learned_from_runs(cli: Cli, tenant: str, temporal: Client) -> None:
    """From those that succeeded, of the tenants asked for."""
    cli.ok("apply", cli.file("tasks.yaml", COLLIDING.format(tenant=tenant)))
    for _ in range(3):
        cli.ok("trigger", "daily-report", "--wait")

    async def learned() -> bool:
        return (await learn_durations(temporal, [tenant])).learned(key) is not None

    key = (tenant, "daily-report")
    await eventually_async(learned)
    durations = await learn_durations(temporal, [tenant], limit=2)
    assert [(known, len(runs)) for known, runs in durations.pairs()] == [(key, 2)]
    assert list((await learn_durations(temporal, [f"{tenant}-b"])).pairs()) == []


def both_known(cli: Cli) -> Any:
    """The forecast, once the list of registries has both tasks."""
    found = cli.json("forecast")
    return found if found["tasks"] == 2 else None


def refused(cli: Cli, queue: dict[str, str]) -> str:
    """What the command says, once it is listed that there is something to ask."""
    ended = cli.run("forecast", **queue)
    return ended.err if ended.code == 1 else ""
