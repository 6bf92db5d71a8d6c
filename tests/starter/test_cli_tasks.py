"""`list`, `show`, `pause`, `resume`, `delete` and `doctor`."""

import pytest

from tests.starter.harness import Cli, eventually

TASK = """\
tasks:
  - task_id: report
    plugin_id: builder
    description: "Yesterday's [bold]report"
    triggers: [{cron: "0 2 * * *", timezone: Asia/Shanghai}]
"""


@pytest.fixture
def task(cli: Cli, tenant: str) -> str:
    """A registered task, named with its tenant."""
    cli.ok("apply", cli.file("tasks.yaml", TASK))
    return f"{tenant}/report"


def test_list_and_show_tell_a_task_in_json_and_in_words(cli: Cli, task: str, tenant: str) -> None:
    """The documents have the fields that tools read; the tables fit 100 columns, uncoloured."""
    [entry] = eventually(lambda: cli.json("list")["tasks"])
    detail = cli.json("show", task)
    table, text = cli.ok("list"), cli.ok("show", task)

    assert entry["tenant_id"] == tenant
    assert entry["task_id"] == "report"
    assert entry["plugin_id"] == "builder"
    assert entry["paused"] is False
    assert entry["triggers"] == [{"cron": "0 2 * * *", "timezone": "Asia/Shanghai"}]
    assert entry["last_status"] is None
    assert entry["next_times"] == detail["next_times"]
    assert all(at.endswith("T18:00:00Z") for at in entry["next_times"])
    assert detail["task"]["description"] == "Yesterday's [bold]report"
    for screen in (table, text):
        assert task in screen
        assert "02:00 +08:00" in screen
        assert "18:00 UTC, in " in screen
        assert max(len(line) for line in screen.splitlines()) <= 100
        assert "\x1b" not in screen
    assert "Yesterday's [bold]report" in text
    assert f"taskflow trigger {task}" in text


def test_pause_and_resume_are_told_to_people_and_tools(cli: Cli, task: str) -> None:
    """A pause carries who and why; resuming ends it; both say so in one small document."""
    paused = cli.json("pause", task, "--reason", "until the fix")
    note = cli.json("show", task)["note"]
    shown = cli.ok("show", task)
    resumed = cli.json("resume", task)

    assert (paused["task_id"], paused["paused"]) == ("report", True)
    assert note.startswith("paused by ")
    assert note.endswith("until the fix")
    assert "until the fix" in shown
    assert (resumed["paused"], resumed["recreated"]) == (False, False)
    assert cli.json("show", task)["paused"] is False


def test_delete_is_final_and_only_once(cli: Cli, task: str) -> None:
    """The second delete finds nothing, and says so with exit code 1."""
    assert cli.json("delete", task)["deleted"] is True
    again = cli.run("delete", task, "--json")

    assert (again.code, again.err) == (1, "")
    assert "has no task 'report'" in again.document["errors"][0]["message"]


@pytest.mark.parametrize(
    "arguments",
    [["pause"], ["trigger"], ["runs"]],
)
def test_an_unknown_task_is_exit_code_1(cli: Cli, tenant: str, arguments: list[str]) -> None:
    """Whatever is asked of it, a task that is not there is named with its tenant."""
    ended = cli.run(*arguments, "nowhere")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"tenant '{tenant}' has no task 'nowhere'")


def test_an_empty_list_says_what_to_do_next(cli: Cli) -> None:
    """Nothing there is not an error; it names the command that changes that."""
    assert "taskflow apply FILE" in cli.ok("list")
    assert "taskflow trigger" in cli.ok("runs")


def test_a_task_needs_a_tenant_and_a_name_that_can_be_one(cli: Cli) -> None:
    """A bare task without tenant, or a quote in a name, is bad usage: exit code 2."""
    bare = cli.run("show", "report", "--json", TASKFLOW_TENANT="")
    quote = cli.run("list", "--tenant", "x' OR TenantId = 'y", "--json")

    assert (bare.code, bare.document["errors"][0]["path"]) == (2, "task")
    assert (quote.code, quote.document["errors"][0]["path"]) == (2, "tenant")


def test_doctor_names_what_is_missing_and_fails(cli: Cli) -> None:
    """Every check with its remedy; a plugin runtime that is not there makes the exit code 1."""
    nowhere = {"TASKFLOW_PLUGIN_URL": "http://127.0.0.1:1"}
    ended = cli.run("doctor", "--json", **nowhere)
    text = cli.run("doctor", TASKFLOW_FORECAST="false", **nowhere)

    checks = {check["name"]: check for check in ended.document["checks"]}
    assert (ended.code, text.code) == (1, 1)
    assert checks["temporal"]["ok"] is True
    assert checks["plugin runtime"]["ok"] is False
    assert "TASKFLOW_PLUGIN_URL" in checks["plugin runtime"]["fix"]
    assert "FAIL  plugin runtime" in text.out
    assert "forecast" in checks
    assert "forecast" not in text.out  # turned off, it is not missed
