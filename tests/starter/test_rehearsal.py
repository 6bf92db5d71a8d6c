"""`taskflow dryrun`: a file rehearsed against what is registered, and nothing touched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from sandbox.client import SandboxClient
from shared.search_attributes import missing_search_attributes
from tests.conftest import TEMPORAL_BINARY
from tests.starter.asking import hour_ahead
from tests.starter.harness import Cli, eventually

TASK = """\
  - task_id: {task_id}
    plugin_id: p
    triggers: [{{cron: "0 {hour} * * *", timezone: UTC}}]
    mutex: [db]
    expected_duration: 4m
"""
TENANT = """\
tenants: [{{tenant_id: {tenant}, mutex_groups: {{db: 1}}, quota: {{resources: {{gpu: 2}}}}}}]
"""


@pytest.fixture
def hour() -> int:
    """An hour of today or tomorrow that is one to two hours ahead."""
    return hour_ahead().hour


def one(tenant: str, hour: int, task_id: str = "first", more: str = "") -> str:
    """A file of one task that holds `db`."""
    text = TENANT.format(tenant=tenant) + "tasks:\n" + TASK.format(task_id=task_id, hour=hour)
    return text + more


async def everything(client: Client) -> list[Any]:
    """Schedules, workflows and search attributes that a server has."""
    schedules = [entry.id async for entry in await client.list_schedules()]
    query = "WorkflowType != 'Watch' AND WorkflowType != 'Forecast'"
    workflows = [entry.id async for entry in client.list_workflows(query)]
    return [
        *(name for name in sorted(schedules) if not name.startswith("taskflow/")),
        *sorted(workflows),
        *await missing_search_attributes(client),
    ]


@pytest.mark.usefixtures("worker")
async def test_it_changes_nothing(cli: Cli, tenant: str, hour: int, temporal: Client) -> None:
    """Schedules, workflows and search attributes are the same before and after."""
    file = cli.file("a.yaml", one(tenant, hour))
    before = [name for name in await everything(temporal) if tenant in name]

    ended = cli.run("dryrun", file)

    assert (ended.code, ended.err) == (0, "")
    assert before == [name for name in await everything(temporal) if tenant in name] == []
    assert f"+ {tenant}/first (create)" in ended.out
    assert "1 task rehearsed: all of them well." in ended.out
    assert max(len(line) for line in ended.out.splitlines()) <= 100


@pytest.mark.usefixtures("worker")
def test_the_document_has_tasks_fires_and_what_they_meet(cli: Cli, tenant: str, hour: int) -> None:
    """A task that waits for one that is registered already, and the shift that clears it."""
    cli.ok("apply", cli.file("first.yaml", one(tenant, hour)))
    file = cli.file("second.yaml", one(tenant, hour, "second"))

    found = eventually(lambda: with_conflicts(cli, file))

    assert list(found) == [
        *("ok", "hours", "tasks", "tenants", "conflicts_before", "conflicts_after", "warnings")
    ]
    assert (found["ok"], found["hours"], found["conflicts_before"]) == (True, 24.0, 0)
    [task] = found["tasks"]
    assert (task["task_id"], task["change"], task["ok"], task["lost"]) == (
        *("second", "create", True),
        0,
    )
    assert task["capacity"] is None
    assert task["proposal"]["shift_s"] == 240
    [fire, later, _] = task["fires"]
    assert fire == {
        "nominal_time": fire["nominal_time"],
        "trigger_time": fire["nominal_time"],
        "verdict": "waits",
        "because": ["it waits 4m for mutex group db, held by first"],
        "wait_s": 240.0,
    }
    assert (later["verdict"], later["because"]) == ("not_rehearsed", [])


def with_conflicts(cli: Cli, file: str) -> Any:
    """The document, once what is registered shows in it."""
    found = cli.json("dryrun", file)
    return found if found["conflicts_after"] else None


@pytest.mark.usefixtures("worker")
def test_a_fire_that_a_conflict_skips_is_exit_code_1(cli: Cli, tenant: str, hour: int) -> None:
    """Also one beyond those that are shown: all fires of the hours are looked at."""
    often = "  - {task_id: often, plugin_id: p, triggers: [{every: 10m, offset: 1m}],"
    often += " mutex: [db], on_conflict: skip, expected_duration: 1m}\n"
    file = cli.file("a.yaml", one(tenant, hour_ahead(4).hour, more=often))

    ended = cli.run("dryrun", file)
    short = cli.run("dryrun", file, "--hours", "1")

    assert ended.code == 1
    assert ended.out.startswith("~ tenant ")
    assert f"FAIL  + {tenant}/often (create)" in ended.out
    assert "in the next 24 h 1 fire does not run because of others" in ended.out
    assert "2 tasks rehearsed: 1 would not run as wanted." in ended.out
    assert short.code == 0


@pytest.mark.usefixtures("worker")
def test_its_own_rules_are_no_failure(cli: Cli) -> None:
    """A blackout, and the run before, skip what the file wants skipped; unless nothing is left."""
    window = '{cron: "0 0 1 1 *", duration: 1h, timezone: UTC, then: skip}'
    tasks = f"""\
tasks:
  - {{task_id: dark, plugin_id: p, triggers: [{{at: "2031-01-01T00:30:00Z"}}, {{every: 2d}}],
     blackouts: [{window}]}}
  - {{task_id: long, plugin_id: p, triggers: [{{every: 1h}}], expected_duration: 90m,
     overlap: skip}}
"""
    never = '  - {task_id: never, plugin_id: p, triggers: [{at: "2031-01-01T00:30:00Z"}],'
    never += f" blackouts: [{window}]}}\n"

    fine = cli.json("dryrun", cli.file("a.yaml", tasks))
    wrong = cli.run("dryrun", cli.file("b.yaml", tasks + never))

    verdicts = [fire["verdict"] for fire in fine["tasks"][1]["fires"]]
    assert fine["ok"] is True
    assert verdicts == ["runs", "skipped", "runs"]
    assert wrong.code == 1
    assert "blackouts skip every fire that it ever has" in wrong.out


@pytest.mark.usefixtures("worker")
def test_a_paused_task_and_one_that_is_as_it_was(cli: Cli, tenant: str, hour: int) -> None:
    """Unchanged, and it has no fires while it is paused; an update keeps it so."""
    file = cli.file("a.yaml", one(tenant, hour))
    cli.ok("apply", file)
    cli.ok("pause", "first")

    paused = eventually(lambda: first_paused(cli, file))
    updated = cli.json("dryrun", cli.file("b.yaml", one(tenant, (hour + 1) % 24)))["tasks"][0]

    assert (paused["change"], paused["fires"], paused["ok"]) == ("unchanged", [], True)
    assert (updated["change"], updated["paused"], updated["fires"]) == ("update", True, [])


def first_paused(cli: Cli, file: str) -> Any:
    """The first task of a rehearsal, once it shows paused."""
    found = cli.json("dryrun", file)["tasks"][0]
    return found if found["paused"] else None


def test_offline_the_file_stands_by_itself(tmp_path: Path, tenant: str, hour: int) -> None:
    """Without Temporal; an undeclared tenant has no limits, and jitter is not known."""
    cli = Cli(tmp_path, {"TEMPORAL_ADDRESS": "127.0.0.1:1", "TASKFLOW_TENANT": tenant})
    both = one(tenant, hour, more=TASK.format(task_id="second", hour=hour))
    plain = "task_id: a\nplugin_id: p\ntriggers: [{every: 1h}]\njitter: 30s\n"
    undeclared = cli.file("b.yaml", plain)

    found = cli.json("dryrun", "--offline", cli.file("a.yaml", both))
    alone = cli.json("dryrun", "--offline", undeclared)
    unreachable = cli.run("dryrun", undeclared)

    assert (found["conflicts_before"], found["conflicts_after"]) == (0, 1)
    assert [task["fires"][0]["verdict"] for task in found["tasks"]] == ["runs", "waits"]
    assert alone["warnings"] == [
        "jitter is known to Temporal only: fires are shown as if they had none"
    ]
    assert (unreachable.code, unreachable.out) == (3, "")


def test_what_is_wrong_in_the_file_is_exit_code_2_with_its_line(cli: Cli, tenant: str) -> None:
    """As plan and apply say it; also of a group that the tenant does not have."""
    cron = cli.run("dryrun", cli.file("a.yaml", one(tenant, 25)))
    text = one(tenant, 2).replace("[db]", "[warehouse]")
    group = cli.run("dryrun", cli.file("b.yaml", text), "--offline")
    hours = cli.run("dryrun", "a.yaml", "--hours", "0")

    assert (cron.code, group.code, hours.code, cron.out) == (2, 2, 2, "")
    assert cron.err.startswith("a.yaml:5: tasks[0].triggers[0].cron: ")
    assert group.err.startswith("b.yaml:6: tasks[0].mutex[0]: 'warehouse' is not a mutex group")


@pytest.mark.usefixtures("worker")
def test_a_task_must_fit_the_tenant_that_is_registered(cli: Cli, tenant: str, hour: int) -> None:
    """A file that does not declare the tenant is held to what the tenant has."""
    cli.ok("apply", cli.file("a.yaml", one(tenant, hour)))
    big = "tasks:\n  - {task_id: b, plugin_id: p, triggers: [{every: 1h}], resources: {gpu: 3}}\n"

    ended = cli.run("dryrun", cli.file("b.yaml", big))

    assert ended.code == 2
    assert ended.err.startswith("b.yaml:2: tasks[0].resources.gpu: 3 can never be met")


GPU = "tasks:\n  - {task_id: gpu, plugin_id: p, triggers: [{every: 1h}], resources: {gpu: 1}}\n"


async def test_capacity_is_reserved_and_given_back(
    cli: Cli, plugin: SandboxClient, plugin_url: str
) -> None:
    """Granted or denied, nothing is held afterwards; a denial is exit code 1 with its reason."""
    file = cli.file("a.yaml", GPU)
    asked = ("dryrun", file, "--offline", "--capacity", "--json")

    granted = cli.run(*asked, TASKFLOW_CAPACITY_URL=plugin_url)
    await plugin.configure_capacity(limits={"gpu": 0})
    denied = cli.run(*asked, TASKFLOW_CAPACITY_URL=plugin_url)
    held = await plugin.capacity()

    assert (granted.code, denied.code) == (0, 1)
    assert granted.document["tasks"][0]["capacity"] == "there is enough now"
    assert denied.document["tasks"][0]["capacity"].startswith("not enough now: ")
    assert denied.document["tasks"][0]["ok"] is False
    assert held.reserved == {}


async def test_capacity_that_may_be_held_after_an_error_is_given_back(
    cli: Cli, plugin: SandboxClient, plugin_url: str
) -> None:
    """The answer got lost and the service holds it: nobody knows, so it is released."""
    await plugin.configure_capacity(limits={"gpu": 1}, script=["drop", "ok"])
    file = cli.file("a.yaml", GPU)

    ended = cli.run("dryrun", file, "--offline", "--capacity", TASKFLOW_CAPACITY_URL=plugin_url)

    assert ended.code == 1
    assert "capacity: the capacity service did not decide: " in ended.out
    assert (await plugin.capacity()).reserved == {}


def test_a_capacity_service_that_is_down_or_not_configured_is_said(cli: Cli) -> None:
    """Down is a failure that names what may be held; none configured is not."""
    file = cli.file("a.yaml", GPU)
    asked = ("dryrun", file, "--offline", "--capacity")

    down = cli.run(*asked, TASKFLOW_CAPACITY_URL="http://127.0.0.1:1")
    none = cli.run(*asked)
    unasked = cli.ok("dryrun", file, "--offline")

    assert (down.code, none.code) == (1, 0)
    assert "the capacity service did not decide: " in down.out
    assert "may be held still: " in down.out
    assert "no capacity service is configured (TASKFLOW_CAPACITY_URL)" in none.out
    assert "capacity" not in unasked


@asynccontextmanager
async def bare_namespace() -> AsyncIterator[str]:
    """The address of a server that does not know our search attributes."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL_BINARY), dev_server_log_level="never"
    ) as environment:
        yield environment.client.service_client.config.target_host


async def test_a_namespace_without_our_search_attributes_is_left_so(
    tmp_path: Path, tenant: str, hour: int
) -> None:
    """The rehearsal works there, and registers nothing."""
    async with bare_namespace() as address:
        queue = f"nobody-{uuid4().hex}"
        environment = {"TEMPORAL_ADDRESS": address, "TASKFLOW_TASK_QUEUE": queue}
        cli = Cli(tmp_path, {**environment, "TASKFLOW_TENANT": tenant})
        client = await Client.connect(address)
        before = await missing_search_attributes(client)

        found = cli.json("dryrun", cli.file("a.yaml", one(tenant, hour)))

        assert [task["change"] for task in found["tasks"]] == ["create"]
        assert await missing_search_attributes(client) == before
        assert before
