"""Tasks that events start, from the file to the registered task and back, against a real server."""

from typing import Any

import pytest

from tests.starter.harness import Cli, eventually

EVENTS = """\
task_id: orders
plugin_id: builder
triggers:
  - {event: order.created, filter: data.amount > 100, debounce: 30s, max_events_per_minute: 60}
  - {event: order.paid}
"""
MIXED = """\
task_id: both
plugin_id: builder
triggers:
  - {event: order.created}
  - {cron: "0 2 * * *", timezone: Asia/Shanghai}
  - {at: "2020-01-01T00:00:00Z"}
"""
pytestmark = pytest.mark.usefixtures("worker")
_TRIGGERS = [
    {
        "event": "order.created",
        "filter": "data.amount > 100",
        "debounce": "30s",
        "max_events_per_minute": 60,
    },
    {"event": "order.paid"},
]
_WORDS = "on order.created if data.amount > 100, debounced 30s, at most 60 a minute"


def listed(cli: Cli, *task_ids: str) -> dict[str, Any]:
    """The list by task id, once it has all of these."""

    def look() -> dict[str, Any]:
        tasks = {task["task_id"]: task for task in cli.json("list")["tasks"]}
        return tasks if tasks.keys() == {*task_ids} else {}

    return eventually(look)


@pytest.fixture
def registered(cli: Cli) -> Cli:
    """With a task that only events start, and one that has a clock as well."""
    text = "tasks:\n" + "".join(
        "  - " + task.rstrip().replace("\n", "\n    ") + "\n" for task in (EVENTS, MIXED)
    )
    cli.ok("apply", cli.file("tasks.yaml", text))
    return cli


def test_a_task_of_events_has_no_next_time_anywhere(registered: Cli, tenant: str) -> None:
    """Not in the list, in full or in a plan: the far fire that keeps its schedule is no fire."""
    tasks = listed(registered, "orders", "both")
    orders, both = tasks["orders"], tasks["both"]
    detail, screen = registered.json("show", "orders"), registered.ok("show", "orders")
    changed = EVENTS.replace("data.amount > 100", "data.amount > 200")
    plan = registered.json("plan", registered.file("orders.yaml", changed))
    words = registered.ok("plan", registered.file("new.yaml", changed.replace("orders", "new")))

    assert orders["triggers"] == _TRIGGERS
    assert orders["next_times"] == detail["next_times"] == []
    assert both["triggers"] == [
        {"cron": "0 2 * * *", "timezone": "Asia/Shanghai"},
        {"at": "2020-01-01T00:00:00Z"},
        {"event": "order.created"},
    ]
    assert both["next_times"]
    assert all(at.endswith("T18:00:00Z") for at in both["next_times"])
    assert _WORDS in " ".join(screen.split())
    assert "on events" in screen
    assert "on events" in registered.ok("list")
    [update] = plan["updated"]
    assert (update["times_before"], update["next_times"]) == ([], [])
    assert "data.amount > 100, debounced" in update["changes"][0]
    assert "data.amount > 200, debounced" in update["changes"][0]
    assert "next   on events" in words
    for text in (screen, words, registered.ok("list"), str(plan)):
        assert "never" not in text
        assert "2100" not in text
        assert "2099" not in text


def test_applying_again_changes_nothing(registered: Cli) -> None:
    """What was registered is recognised, the fire far away included."""
    document = registered.json("plan", "tasks.yaml")
    assert (document["unchanged"], document["updated"], document["created"]) == (2, [], [])


def test_a_task_of_events_is_paused_resumed_and_deleted(registered: Cli) -> None:
    """As any other."""
    listed(registered, "orders", "both")
    assert registered.json("pause", "orders")["paused"] is True
    assert registered.json("show", "orders")["paused"] is True
    assert "no fire" in registered.ok("why", "orders", "--at", "2100-01-01T00:00:00Z")
    assert registered.json("resume", "orders")["paused"] is False
    registered.ok("delete", "orders", "--yes")
    assert listed(registered, "both")


def test_why_a_task_of_events_has_no_next_run(registered: Cli) -> None:
    """It fires on events: that is not never."""
    answer = registered.json("why", "orders")
    assert "event" in " ".join(answer["because"])
    assert answer["verdict"] != "never"


def test_a_dry_run_does_not_miss_the_clock(cli: Cli) -> None:
    """A file whose task only has events is right, and nothing is said to never fire."""
    screen = cli.ok("dryrun", cli.file("orders.yaml", EVENTS), "--offline")
    assert "fires on events" in screen
    assert "never" not in screen


def test_a_long_filter_is_cut_on_a_screen_and_whole_in_a_document(cli: Cli) -> None:
    """A list stays a list."""
    long = f"data.name == '{'x' * 3000}'"
    cli.ok("apply", cli.file("long.yaml", EVENTS.replace("data.amount > 100", f'"{long}"')))
    tasks = listed(cli, "orders")
    screen = cli.ok("list")
    assert tasks["orders"]["triggers"][0]["filter"] == long
    assert len(screen) < 1500
    assert "..." in screen


def test_a_filter_that_does_not_compile_is_told_with_its_line(cli: Cli) -> None:
    """The path is the trigger's filter, the place in the text is in the words."""
    bad = EVENTS.replace("data.amount > 100", "data.amount >")
    ended = cli.run("apply", cli.file("bad.yaml", bad), "--json")
    [problem] = ended.document["errors"]
    assert ended.code == 2
    assert problem["path"].endswith("triggers[0].filter")
    assert problem["line"] == 4
    assert "column 14" in problem["message"]
