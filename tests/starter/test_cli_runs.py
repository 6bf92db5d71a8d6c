"""`trigger`, `runs`, `cancel`: with a real worker and a real plugin runtime."""

import asyncio

import pytest

from sandbox.client import SandboxClient
from tests.starter.harness import Cli, eventually

TASK = """\
task_id: report
plugin_id: {plugin}
triggers: [{{cron: "0 0 1 1 *"}}]
heartbeat_timeout: 3s
retry: {{max_attempts: 2, initial_interval: 100ms}}
"""

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def task(cli: Cli, tenant: str) -> str:
    """A task whose plugin is the tenant's own."""
    cli.ok("register", "-", stdin=TASK.format(plugin=tenant))
    return f"{tenant}/report"


async def test_trigger_waits_for_the_end_and_runs_shows_it(
    cli: Cli, task: str, tenant: str, plugin: SandboxClient
) -> None:
    """The payload reaches a run, its end is printed, and `runs` has the same run."""
    run = cli.json("trigger", task, "--payload", '{"day": 3}', "--wait")
    again = eventually(
        lambda: cli.json("runs", task, "--status", "success", "--since", "1h")["runs"]
    )
    table = cli.ok("runs", task)

    assert run["status"] == "SUCCESS"
    assert run["run_id"].startswith(f"run/{tenant}/report/manual/")
    assert again == [run]
    assert run["run_id"] in table.replace("\n", "") or run["run_id"][:40] in table
    assert cli.json("runs", task, "--status", "FAILED") == {"runs": []}
    assert len(await plugin.deliveries(plugin_id=tenant)) == 1


async def test_a_failed_run_is_exit_code_1_with_its_reason(
    cli: Cli, task: str, tenant: str, plugin: SandboxClient
) -> None:
    """Waiting for a run that fails tells why, and a script notices."""
    await plugin.configure(tenant, script=["fail:BROKEN"])

    ended = cli.run("trigger", task, "--wait")
    runs = eventually(lambda: cli.json("runs", task, "--status", "FAILED")["runs"])

    assert ended.code == 1
    assert "FAILED after" in ended.out
    assert runs[0]["error_code"] == "BROKEN"
    assert runs[0]["retry_count"] == 1


async def test_the_same_key_is_the_same_run(
    cli: Cli, task: str, tenant: str, plugin: SandboxClient
) -> None:
    """Repeating a trigger with its key, even after the run has ended, runs nothing again."""
    first = cli.json("trigger", task, "--key", "order-7", "--wait")
    second = cli.json("trigger", task, "--key", "order-7")

    assert second == {"run_id": first["run_id"]}
    assert first["run_id"].endswith("/order-7")
    assert len(await plugin.deliveries(plugin_id=tenant)) == 1


async def test_cancel_ends_a_run_under_way(
    cli: Cli, task: str, tenant: str, plugin: SandboxClient
) -> None:
    """The run ends CANCELLED; cancelling it again, or as another tenant, is refused."""
    await plugin.configure(tenant, script=["hang"])
    run_id = cli.json("trigger", task)["run_id"]
    while not await plugin.deliveries(plugin_id=tenant):  # noqa: ASYNC110 - another process tells
        await asyncio.sleep(0.05)
    stranger = cli.run("cancel", run_id, "--tenant", f"{tenant}-b")
    shown = cli.ok("show", task)

    ended = cli.json("cancel", run_id, "--wait")
    again = cli.run("cancel", run_id)

    assert (stranger.code, "there is no run" in stranger.err) == (1, True)
    assert "attempt 1 of 2" in shown
    assert (ended["run_id"], ended["status"]) == (run_id, "CANCELLED")
    assert (again.code, "has ended already" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("option", "value"),
    [("payload", "{day: 3}"), ("key", "")],
)
def test_a_bad_payload_or_key_is_exit_code_2(cli: Cli, option: str, value: str) -> None:
    """What cannot be sent is refused before anything is looked up."""
    ended = cli.run("trigger", "report", f"--{option}", value, "--json")

    assert ended.code == 2
    assert ended.document["errors"][0]["path"].startswith(option)
