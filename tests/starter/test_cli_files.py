"""`plan`, `apply`, `register`: what a file changes, and what it never touches."""

import json
import os
import pty
import subprocess
from contextlib import suppress

from temporalio.client import Client, ScheduleUpdate, ScheduleUpdateInput

from domain.ids import schedule_id
from tests.starter.harness import TASKFLOW, Cli, eventually

TWO = """\
tasks:
  - task_id: report
    plugin_id: builder
    triggers: [{cron: "0 2 * * *", timezone: Asia/Shanghai}]
  - task_id: sync
    plugin_id: syncer
    triggers: [{every: 15m}]
"""


def listed(cli: Cli) -> list[str]:
    """The ids that `list` shows for the tenant."""
    return [task["task_id"] for task in cli.json("list")["tasks"]]


def test_plan_shows_a_diff_and_changes_nothing(cli: Cli, tenant: str) -> None:
    """A new task is a plus with its next times in its zone and UTC; nothing is registered."""
    file = cli.file("tasks.yaml", TWO)

    out = cli.ok("plan", file)

    assert f"+ {tenant}/report" in out
    assert "02:00 +08:00 (18:00 UTC, in" in out
    assert "2 to create" in out
    assert cli.json("list") == {"tasks": []}


def test_apply_twice_changes_nothing_the_second_time(cli: Cli) -> None:
    """The first apply creates all, the second finds everything as it should be."""
    file = cli.file("tasks.yaml", TWO)

    first, second = cli.json("apply", file), cli.json("apply", file)

    assert [task["task_id"] for task in first["created"]] == ["report", "sync"]
    assert (second["created"], second["updated"], second["deleted"]) == ([], [], [])
    assert second["unchanged"] == 2
    assert eventually(lambda: listed(cli)) == ["report", "sync"]


def test_an_update_is_shown_before_and_after_and_keeps_the_pause(cli: Cli, tenant: str) -> None:
    """A changed task is updated in place: a person's pause outlives the change."""
    cli.ok("apply", cli.file("tasks.yaml", TWO))
    cli.ok("pause", "sync", "--reason", "until the fix")
    changed = cli.file("tasks.yaml", TWO.replace("15m", "20m"))

    plan = cli.ok("plan", changed)
    done = cli.json("apply", changed)

    assert f"~ {tenant}/sync" in plan
    assert "before" in plan
    assert "after" in plan
    [update] = done["updated"]
    assert update["times_before"] != update["next_times"]
    assert done["unchanged"] == 1
    detail = cli.json("show", "sync")
    assert detail["paused"] is True
    assert "until the fix" in detail["note"]
    assert detail["task"]["triggers"] == [{"every": "20m", "offset": "0s"}]


def test_prune_deletes_within_the_tenants_of_the_file_only(cli: Cli, tenant: str) -> None:
    """What the file does not have goes, unless it belongs to somebody else."""
    neighbour = f"{tenant}-b"
    file = cli.file("tasks.yaml", TWO)
    cli.ok("apply", file)
    cli.ok("apply", file, "--tenant", neighbour)
    less = cli.file("less.yaml", TWO[: TWO.index("  - task_id: sync")])
    eventually(lambda: len(listed(cli)) == 2)

    kept = cli.json("apply", less)
    pruned = cli.json("apply", less, "--prune")

    assert kept["deleted"] == []
    assert pruned["deleted"] == [{"tenant_id": tenant, "task_id": "sync"}]
    assert cli.run("show", "sync").code == 1
    assert cli.json("show", f"{neighbour}/sync")["paused"] is False


def test_prune_on_a_terminal_asks_and_a_no_changes_nothing(cli: Cli) -> None:
    """Without --yes a person is asked, and everything but a yes leaves all as it was."""
    cli.ok("apply", cli.file("tasks.yaml", TWO))
    less = cli.file("less.yaml", TWO[: TWO.index("  - task_id: sync")])
    eventually(lambda: len(listed(cli)) == 2)
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")

    ended = subprocess.run(
        [TASKFLOW, "apply", less, "--prune"],
        cwd=cli.folder,
        env=cli.env(),
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # which is how a terminal says that nobody holds its other end
        while piece := os.read(ours, 100_000):
            said += piece
    os.close(ours)

    assert ended.returncode == 1
    assert b"Delete 1 task (" in said
    assert b"nothing was changed" in said
    assert cli.json("show", "sync")["paused"] is False


def test_a_typo_names_file_line_and_path_and_changes_nothing(cli: Cli) -> None:
    """Every problem of the file at once, and not even its good tasks are registered."""
    wrong = TWO.replace("plugin_id: syncer", "plugin_id: syncer\n    tiemout: 5m")
    file = cli.file("wrong.yaml", wrong.replace("0 2 *", "0 25 *"))

    ended = cli.run("apply", file)
    tool = cli.run("apply", file, "--json")

    first, second, summary = ended.err.splitlines()
    assert (ended.code, ended.out) == (2, "")
    assert first.startswith("wrong.yaml:4: tasks[0].triggers[0].cron: ")
    assert second == "wrong.yaml:7: tasks[1].tiemout: is not a known key: did you mean 'timeout'?"
    assert summary == "2 problems: nothing was changed"
    assert (tool.code, tool.err) == (2, "")
    assert [(e["path"], e["line"]) for e in tool.document["errors"]] == [
        ("tasks[0].triggers[0].cron", 4),
        ("tasks[1].tiemout", 7),
    ]
    assert cli.run("show", "report").code == 1


def test_register_takes_one_task_from_standard_input(cli: Cli, tenant: str) -> None:
    """One task alone, as JSON, is a file too; its problems have the paths it has itself."""
    task = {
        "task_id": "one",
        "plugin_id": "p",
        "triggers": [{"every": "1h"}],
        "params": {"é": "😀"},
    }
    wrong = {**task, "retry": {"max_attemps": 3}}

    done = cli.json("register", "-", stdin=json.dumps(task))
    refused = cli.run("register", "-", "--json", stdin=json.dumps(wrong, indent=2))

    assert [(t["tenant_id"], t["task_id"]) for t in done["created"]] == [(tenant, "one")]
    assert cli.json("show", "one")["task"]["params"] == {"é": "😀"}
    [error] = refused.document["errors"]
    assert (refused.code, error["path"], error["line"]) == (2, "retry.max_attemps", 13)


async def test_a_schedule_changed_in_temporal_is_restored(
    cli: Cli, tenant: str, temporal: Client
) -> None:
    """Drift shows in the plan and the next apply takes it back."""
    file = cli.file("tasks.yaml", TWO)
    cli.ok("apply", file)
    handle = temporal.get_schedule_handle(schedule_id(tenant, "sync"))
    before = (await handle.describe()).schedule.spec

    def drift(current: ScheduleUpdateInput) -> ScheduleUpdate:
        current.description.schedule.spec.intervals = []
        return ScheduleUpdate(current.description.schedule)

    await handle.update(drift)
    plan = cli.ok("plan", file)
    cli.ok("apply", file)

    assert "changed in Temporal" in plan
    assert (await handle.describe()).schedule.spec == before
    assert cli.json("apply", file)["unchanged"] == 2
