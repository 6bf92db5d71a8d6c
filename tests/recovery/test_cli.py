"""`taskflow work-orders`: the real binary, on work orders of a real server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer import Typer

from domain.notices import NoticeInput
from starter.cli.main import app
from starter.cli.work_orders import group
from tests.recovery.harness import INCIDENT, Recovery
from tests.starter.harness import Cli, Ended, eventually_async


class Orders:
    """The command for the recovery's tenant; workers in this process answer meanwhile."""

    def __init__(self, recovery: Recovery, folder: Path) -> None:
        address = recovery.client.service_client.config.target_host
        self.cli = Cli(folder, {"TEMPORAL_ADDRESS": address, "TASKFLOW_TENANT": recovery.tenant})

    async def run(self, *arguments: str) -> Ended:
        """One command."""
        return await asyncio.to_thread(self.cli.run, "work-orders", *arguments)

    async def ok(self, *arguments: str) -> str:
        """What a command says that works."""
        ended = await self.run(*arguments)
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    async def json(self, *arguments: str) -> Any:
        """Its document."""
        ended = await self.run(*arguments, "--json")
        assert (ended.code, ended.err) == (0, "")
        return ended.document

    async def listed(self, count: int, *arguments: str) -> list[Any]:
        """The list, once it has so many: lists lag."""
        found: list[Any] = []

        async def look() -> bool:
            found[:] = (await self.json("list", *arguments))["work_orders"]
            return len(found) == count

        await eventually_async(look)
        return found


@pytest.fixture
async def orders(recovery: Recovery, tmp_path: Path) -> Orders:
    """The command, with workers that answer it."""
    return Orders(recovery, tmp_path)


async def opened(recovery: Recovery, **fields: Any) -> NoticeInput:
    """A failure that was told."""
    task = recovery.task(**fields)
    await recovery.start_run(task)
    await recovery.told(notice := recovery.notice(task))
    return notice


async def test_a_list_is_a_document_of_a_fixed_shape(recovery: Recovery, orders: Orders) -> None:
    """Every field is there, times in UTC."""
    notice = await opened(recovery, task_id="report")
    breach = notice.breach
    [row] = await orders.listed(1)
    at = {name: row.pop(name) for name in ("opened_at", "due_at")}
    assert row == {
        "work_order_id": f"work-order/{breach.run_id}",
        "tenant_id": recovery.tenant,
        "task_id": "report",
        "plugin_id": "report-builder",
        "run_id": breach.run_id,
        "status": "OPEN",
        "owner": None,
        "cause": "FAILED: it broke",
        "error_code": "BROKEN",
        "severity": "medium",
        "external_id": INCIDENT,
        "retry_run_id": None,
    }
    assert all(text.endswith("Z") for text in at.values())


async def test_a_list_is_narrowed_by_task_and_status(recovery: Recovery, orders: Orders) -> None:
    """What is to be done comes first; another tenant sees nothing of it."""
    first, second = [await opened(recovery, task_id=name) for name in ("one", "two")]
    assert await orders.json("list", "--tenant", "somebody-else") == {"work_orders": []}
    await orders.listed(2)
    await orders.ok("resolve", first.breach.run_id)
    [closed] = await orders.listed(1, "--status", "resolved")
    assert closed["task_id"] == "one"
    assert [row["task_id"] for row in await orders.listed(2)] == ["two", "one"]
    assert [row["task_id"] for row in await orders.listed(1, "two")] == ["two"]
    assert len(await orders.listed(1, "--limit", "1")) == 1
    assert second.breach.run_id in (await orders.ok("list", "two")).replace("\n", "")


async def test_it_is_taken_up_shown_and_waived(recovery: Recovery, orders: Orders) -> None:
    """By the run's id or its own; each command tells what became of it."""
    notice = await opened(recovery)
    run_id = notice.breach.run_id
    assert "ann's now" in await orders.ok("ack", run_id, "--by", "ann")
    shown = await orders.json("show", f"work-order/{run_id}")
    assert (shown["status"], shown["owner"]) == ("ACKNOWLEDGED", "ann")
    assert [attempt["message"] for attempt in shown["attempts"]] == ["it broke"]
    assert [note["who"] for note in shown["notes"]][-1] == "ann"
    text = await orders.ok("show", run_id)
    for words in ("ACKNOWLEDGED, medium", "BROKEN: FAILED: it broke", INCIDENT, "acknowledged it"):
        assert words in text
    refused = await orders.run("ack", run_id, "--by", "bob")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"work-order/{run_id}: it is ACKNOWLEDGED already, by ann\n"
    waived = await orders.json("waive", run_id, "--reason", "the shop is closed")
    assert (waived["status"], waived["notes"][-1]["what"]) == (
        "WAIVED",
        "waived it: the shop is closed",
    )
    late = await orders.run("retry", run_id)
    assert late.code == 1
    assert "it is WAIVED already" in late.err
    assert (await orders.json("show", run_id))["status"] == "WAIVED"


async def test_a_retry_names_its_run_and_resolves_it(recovery: Recovery, orders: Orders) -> None:
    """What was asked for is what runs."""
    run_id = (await opened(recovery)).breach.run_id
    retried = (await orders.json("retry", run_id))["retry_run_id"]
    busy = await orders.run("resolve", run_id)
    assert busy.code == 1
    assert f"being retried as {retried}" in busy.err
    handle = recovery.client.get_workflow_handle(retried)
    await handle.signal("end", "SUCCESS")
    await recovery.order(run_id).handle.result()
    shown = await orders.json("show", run_id)
    assert (shown["status"], shown["retry_run_id"]) == ("RESOLVED", retried)
    assert shown["retries"][0]["status"] == "SUCCESS"


@pytest.mark.parametrize("command", ["show", "ack", "retry", "resolve"])
async def test_what_is_another_tenants_is_not_found(
    recovery: Recovery, orders: Orders, command: str
) -> None:
    """Nor is what never was, or is no work order; nothing is changed."""
    run_id = (await opened(recovery)).breach.run_id
    others = [(f"run/{recovery.tenant}/none/manual/1",), (f"governor/{recovery.tenant}",), ("",)]
    for arguments in [(run_id, "--tenant", "somebody-else"), *(others * (command == "show"))]:
        ended = await orders.run(command, *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert "there is no work order" in ended.err
    assert (await recovery.order(run_id).view()).status == "OPEN"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("list", "--status", "DONE"), "status"),
        (("list", "x y"), "task"),
        (("ack", "x", "--by", " "), "by"),
        (("ack", "x", "--by", "a" * 101), "by"),
        (("waive", "x", "--reason", ""), "reason"),
        (("show", "x", "--tenant", "a'b"), "tenant"),
    ],
)
async def test_a_bad_value_is_exit_code_2_and_names_its_option(
    orders: Orders, arguments: tuple[str, ...], path: str
) -> None:
    """Found before Temporal is asked for anything."""
    ended = await orders.run(*arguments, "--json")
    assert (ended.code, ended.err) == (2, "")
    assert [error["path"] for error in ended.document["errors"]] == [path]


async def test_a_waiver_without_a_reason_is_a_usage_error(orders: Orders) -> None:
    """The option is needed."""
    assert (await orders.run("waive", "x")).code == 2


async def test_tables_fit_100_columns(recovery: Recovery, orders: Orders) -> None:
    """Also with the longest names; none of an id is cut off."""
    name = "n" * 64
    await opened(recovery, task_id=name)
    await orders.listed(1)
    listed, shown = await orders.ok("list"), await orders.ok("show", *(await _ids(orders)))
    assert max(map(len, listed.splitlines())) <= 100
    rows = [line.split()[0] for line in listed.splitlines() if "nnn" in line]
    assert f"/{name}/" in "".join(rows)
    assert name in shown


async def _ids(orders: Orders) -> list[str]:
    return [row["run_id"] for row in await orders.listed(1)]


async def test_without_a_worker_a_list_is_shown_and_an_act_says_so(
    idle: Recovery, tmp_path: Path
) -> None:
    """Within seconds, and what is closed can still be read."""
    orders = Orders(idle, tmp_path)
    async with idle.working():
        run_id = (await opened(idle)).breach.run_id
        done = (await opened(idle)).breach.run_id
        await orders.ok("resolve", done)
    assert len(await orders.listed(2)) == 2
    for command in ("ack", "show"):
        ended = await orders.run(command, run_id)
        assert ended.code == 1
        assert "no worker answers" in ended.err
    assert (await orders.json("show", done))["status"] == "RESOLVED"


def test_every_command_has_help_with_an_example() -> None:
    """One call of each, as it is typed."""
    assert isinstance(app, Typer)
    names = [command.name or command.callback.__name__ for command in group.registered_commands]  # type: ignore[union-attr]
    assert names == ["list", "show", "ack", "retry", "waive", "resolve"]
    for name, command in zip(names, group.registered_commands, strict=True):
        assert f"taskflow work-orders {name}" in (command.epilog or "")
