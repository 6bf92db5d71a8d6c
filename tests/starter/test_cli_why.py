"""`taskflow why`: its words, its document and its exit codes."""

from typing import Any

import pytest

from tests.starter.harness import Cli, eventually

TASK = """\
task_id: report
plugin_id: p
triggers: [{cron: "0 2 * * *", timezone: Asia/Shanghai}]
stagger: 10m
"""


@pytest.fixture
def registered(cli: Cli) -> Cli:
    """With one task."""
    cli.ok("apply", cli.file("task.yaml", TASK))
    return cli


def test_the_answer_is_in_the_tasks_zone_and_in_utc(registered: Cli, tenant: str) -> None:
    """The head line, the start and the sentences; one line each when piped."""
    head, starts, *sentences = registered.ok("why", "report").splitlines()

    assert head.startswith(f"{tenant}/report at ")
    assert "02:00 +08:00 (18:00 UTC, in " in head
    assert head.endswith(": will run")
    assert starts.startswith("  starts    ")
    assert " +08:00 (18:0" in starts
    assert sentences[0].startswith("  - with its stagger it is due at ")


def test_the_document_has_every_field_whatever_the_answer(registered: Cli, tenant: str) -> None:
    """What does not apply is null; times are in UTC."""
    found = registered.json("why", "report", "--at", "2031-06-01T02:00:00+08:00")
    nothing = registered.json("why", f"{tenant}/report", "--at", "2031-06-01T12:00:00Z")

    assert list(found) == list(nothing) == [*FIELDS]
    assert (found["task_id"], found["at"]) == ("report", "2031-05-31T18:00:00Z")
    assert (found["verdict"], found["timezone"]) == ("will_run", "Asia/Shanghai")
    assert (nothing["verdict"], nothing["expected_start"]) == ("no_fire", None)


FIELDS = (
    *("tenant_id", "task_id", "at", "timezone", "run_id", "verdict", "because"),
    *("holder", "position", "expected_start"),
)


@pytest.mark.usefixtures("worker")
def test_a_run_that_has_ended_is_named(registered: Cli) -> None:
    """The last run stands below what is next."""
    run_id = registered.json("trigger", "report", "--wait")["run_id"]

    def last() -> Any:
        return run_id in registered.ok("why", "report")

    eventually(last)
    assert f"  - the last run, {run_id}, ended SUCCESS at " in registered.ok("why", "report")


def test_wrong_names_and_times_are_refused(registered: Cli, tenant: str) -> None:
    """1 for a task that is not there, 2 for what no task or time can be; each says what to do."""
    unknown = registered.run("why", "reprot")
    nobodys = registered.run("why", "report", TASKFLOW_TENANT="")
    odd = registered.run("why", "re port")
    vague = registered.run("why", "report", "--at", "yesterday")
    local = registered.run("why", "report", "--at", "2026-11-23T02:00:00", "--json")

    assert (unknown.code, nobodys.code, odd.code, vague.code, local.code) == (1, 2, 2, 2, 2)
    assert unknown.err.startswith(f"tenant '{tenant}' has no task 'reprot': `taskflow list` shows")
    assert "--tenant or TASKFLOW_TENANT" in nobodys.err
    assert vague.err.startswith("at: 'yesterday' is not a time: write it as 2027-01-01T")
    assert [error["path"] for error in local.document["errors"]] == ["at"]
    assert local.err == ""
