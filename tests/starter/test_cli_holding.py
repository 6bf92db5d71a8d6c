"""`pause` and `resume` of runs and tenants, and what `runs`, `show` and `why` tell of them."""

import os
import pty
import subprocess

import pytest

from sandbox.client import SandboxClient
from tests.starter.harness import TASKFLOW, Cli, eventually

TASK = """\
task_id: report
plugin_id: {plugin}
triggers: [{{cron: "0 0 1 1 *"}}]
retry: {{max_attempts: 3, initial_interval: 4m}}
sla: {{start_within: 1m, finish_within: 1h, while_paused: stops}}
"""

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
async def open_run(cli: Cli, tenant: str, plugin: SandboxClient) -> str:
    """The id of a run that waits for its second attempt."""
    await plugin.configure(tenant, script=["fail:BROKEN"])
    cli.ok("register", "-", stdin=TASK.format(plugin=tenant))
    run_id: str = cli.json("trigger", "report")["run_id"]
    eventually(lambda: cli.json("runs", "report", "--status", "RETRYING")["runs"])
    return run_id


def test_a_task_and_its_open_runs_are_held_and_go_on(cli: Cli, tenant: str, open_run: str) -> None:
    """The documents name the runs; `runs`, `show` and `why` say who, when and why."""
    paused = cli.json("pause", "report", "--running", "--reason", "until the fix")
    [run] = eventually(lambda: [run for run in cli.json("runs", "report")["runs"] if run["paused"]])
    table, shown, why = cli.ok("runs", "report"), cli.ok("show", "report"), cli.ok("why", "report")
    again = cli.json("pause", "report")
    said = cli.ok("resume", "report", "--running")
    [free] = eventually(
        lambda: [run for run in cli.json("runs", "report")["runs"] if not run["paused"]]
    )
    resumed = cli.json("resume", "report")

    ids = {"tenant_id": tenant, "task_id": "report"}
    assert paused == ids | {"paused": True, "runs": [open_run]}
    assert run["paused"]["reason"] == "until the fix"
    assert run["paused"]["at"].endswith("Z")
    assert (run["status"], run["waits_for"]) == ("RETRYING", "paused")
    for screen in (table, shown):
        assert "  paused by " in screen
        assert ": until the fix" in " ".join(screen.split())
        assert max(len(line) for line in screen.splitlines()) <= 100
    assert f"{tenant}/report" in why
    assert ": paused\n" in why
    assert ": until the fix\n" in why
    assert "its SLA deadlines stand still meanwhile (while_paused)" in why
    assert again == ids | {"paused": True, "runs": []}
    assert said == f"Resumed {tenant}/report, and 1 open run.\n"
    assert (free["status"], free["paused"]) == ("RETRYING", None)
    assert resumed == ids | {"paused": False, "recreated": False, "runs": []}
    cli.ok("cancel", open_run)


def test_a_run_is_held_by_its_id(cli: Cli, tenant: str, open_run: str) -> None:
    """Its task fires on; another tenant's name, a wrong id and an ended run are exit code 1."""
    paused = cli.json("pause", open_run, "--reason", "look at it")
    eventually(lambda: cli.json("runs", "report")["runs"][0]["paused"])
    task_paused = cli.json("show", "report")["paused"]
    attempts = cli.json("show", "report")["attempts"]
    stranger = cli.run("resume", open_run, "--tenant", f"{tenant}-b")
    resumed = cli.json("resume", open_run)
    [attempt] = eventually(lambda: cli.json("show", "report")["attempts"])
    nowhere = cli.run("pause", f"{open_run}x")
    odd = cli.run("pause", f"run/{tenant}/report")
    cli.ok("cancel", open_run, "--tenant", tenant)
    ended = eventually(lambda: _refused(cli, open_run))

    ids = {"run_id": open_run, "tenant_id": tenant, "task_id": "report"}
    assert paused == ids | {"paused": True, "runs": [open_run]}
    assert resumed == ids | {"paused": False, "runs": [open_run]}
    assert (task_paused, attempts) == (False, [])
    assert (attempt["attempt"], attempt["max_attempts"]) == (2, 3)
    assert attempt["next_at"].endswith("Z")
    for refused in (stranger, nowhere, odd):
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith("there is no run ")
    assert "has ended already" in ended


def _refused(cli: Cli, run_id: str) -> str:
    found = cli.run("pause", run_id)
    return found.err if found.code == 1 else ""


def test_a_tenant_is_paused_and_resumed_as_a_whole(cli: Cli, tenant: str, open_run: str) -> None:
    """Where nobody can answer, naming --all is the consent; the documents name tasks and runs."""
    paused = cli.json("pause", "--all", "--running", "--reason", "move")
    said = cli.ok("pause", "--all", "--running")
    note = cli.json("show", "report")["note"]
    resumed = cli.json("resume", "--all", "--running", "--yes")

    ids = {"tenant_id": tenant, "task_id": None}
    assert paused == ids | {"paused": True, "tasks": ["report"], "runs": [open_run]}
    assert said.startswith(f"Paused 1 task and 1 open run of {tenant}. `taskflow resume --all ")
    assert note.endswith(": move")
    rest = {"recreated": [], "tasks": ["report"], "runs": [open_run]}
    assert resumed == ids | {"paused": False} | rest
    assert cli.json("show", "report")["paused"] is False
    cli.ok("cancel", open_run)


def test_on_a_terminal_a_tenant_is_asked_about(cli: Cli, tenant: str, open_run: str) -> None:
    """A no changes nothing, and is exit code 1."""
    eventually(lambda: cli.json("list")["tasks"])
    controller, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [TASKFLOW, "pause", "--all"],
            cwd=cli.folder,
            env=cli.env(),
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
        ) as process:
            asked = b""
            while b"[y/N]" not in asked:
                asked += os.read(controller, 1024)
            os.write(controller, b"n\n")
            process.communicate(timeout=20)
    finally:
        os.close(controller)
        os.close(terminal)

    assert f"Pause 1 task of {tenant}? [y/N]" in asked.decode()
    assert process.returncode == 1
    assert cli.json("show", "report")["paused"] is False
    cli.ok("cancel", open_run)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["pause"], "task"),
        (["resume", "report", "--all"], "task"),
        (["pause", "--all", "--tenant", "no name"], "tenant"),
        (["pause", "re port", "--running"], "task"),
    ],
)
def test_what_names_nothing_is_exit_code_2(cli: Cli, arguments: list[str], path: str) -> None:
    """Neither a task nor --all, both, or a name that can be none."""
    ended = cli.run(*arguments, "--json")

    assert (ended.code, ended.document["errors"][0]["path"]) == (2, path)


def test_a_tenant_must_be_named_and_have_tasks(cli: Cli) -> None:
    """2 for no tenant at all, 1 for one without tasks."""
    nobody = cli.run("pause", "--all", "--json", TASKFLOW_TENANT="")
    empty = cli.run("resume", "--all", "--running")

    assert (nobody.code, nobody.document["errors"][0]["path"]) == (2, "tenant")
    assert (empty.code, "has no tasks" in empty.err) == (1, True)
