"""The SLA report against a past of which everything is known: which fires were due, what ran."""

import asyncio
import csv
import io
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from temporalio.client import Client

from activities import rollup_count
from activities.rollup import SETTLING
from domain.ids import event_run_id, manual_run_id, scheduled_run_id
from domain.run import TriggerKind
from domain.sla import SlaStatus
from domain.states import RunState
from starter.sla_report import SlaReport, make_report
from starter.sla_report_formats import MISSES, accepted, as_html
from tests.conftest import task_of
from tests.starter.harness import Cli
from tests.starter.limits import Limits
from tests.starter.past import MINUTE, SECOND, Past


@pytest.fixture
def past(temporal: Client, limits: Limits, tenant: str) -> Past:
    """The test's own tenant; a worker keeps its registries."""
    return Past(temporal, limits.queue, tenant)


def row(report: SlaReport, task_id: str, names: Sequence[str]) -> list[Any]:
    """Some columns of one task."""
    (found,) = (r for r in report.as_json()["rows"] if r["task_id"] == task_id)
    return [found[name] for name in names]


async def test_every_fire_is_counted_by_how_it_went(past: Past, tenant: str) -> None:
    """On time, late, skipped and missed; what ran, failed and was tried again; and the totals."""
    task = await past.task("mixed", jitter="30s")
    other = await past.task("other")
    await past.ran(task, 0, 1 * SECOND, RETRY_COUNT=2)
    # Jitter put it off: it was due when it began.
    await past.ran(task, 1, 31 * SECOND, TRIGGER_TIME=past.at(1) + 29 * SECOND)
    await past.ran(
        task, 2, 61 * SECOND, TASK_STATUS=RunState.FAILED, SLA_STATUS=SlaStatus.START_BREACHED
    )
    skipped = scheduled_run_id(tenant, "mixed", past.at(3))
    await past.run(task, skipped, TriggerKind.INTERVAL, TASK_STATUS=RunState.SKIPPED)
    missed = scheduled_run_id(tenant, "mixed", past.at(4))
    await past.run(task, missed, TriggerKind.INTERVAL, TASK_STATUS=RunState.MISSED)
    by_hand = manual_run_id(tenant, "mixed", "1")
    shown: dict[str, Any] = {
        "TRIGGER_TIME": past.at(4),
        "ACTUAL_START": past.at(4),
        "RETRY_COUNT": 1,
    }
    await past.run(task, by_hand, TriggerKind.MANUAL, **shown)
    for number in range(6):
        await past.ran(other, number, number * SECOND)

    report = await past.report()

    counts = ("due", "on_time", "late", "skipped", "missed", "waiting", "runs")
    assert row(report, "mixed", counts) == [6, 2, 1, 1, 2, 0, 4]
    # The last fire has neither a run nor a record, which somebody must hear of.
    assert any("neither a run nor a record" in text for text in report.warnings)
    rates = ("on_time_rate", "success_rate", "retries", "breaches")
    assert row(report, "mixed", rates) == [0.4, 0.75, 3, 1]
    assert row(report, "mixed", ("p50_latency_s", "p99_latency_s")) == [2.0, 61.0]
    assert row(report, "other", ("due", "on_time", "p50_latency_s")) == [6, 6, 2.0]
    totals = report.as_json()["totals"]
    assert (totals["due"], totals["on_time"], totals["runs"]) == (12, 8, 10)
    assert totals["on_time_rate"] == round(8 / 11, 6)


async def test_one_record_may_stand_for_many_fires(past: Past, tenant: str) -> None:
    """After a long outage the last record counts the rest: those are missed, and none is lost."""
    task = await past.task("down")
    reason = f"no run was made; 3 more until {past.at(3):%Y-%m-%d %H:%M:%S UTC}"
    record = scheduled_run_id(tenant, "down", past.at(0))
    await past.run(task, record, TriggerKind.INTERVAL, TASK_STATUS=RunState.MISSED, reason=reason)
    await past.ran(task, 4, SECOND)
    await past.ran(task, 5, SECOND)

    report = await past.report()

    counts = ("due", "missed", "on_time", "on_time_rate")
    assert row(report, "down", counts) == [6, 4, 2, 0.333333]
    assert report.warnings == []


async def test_pieces_of_a_long_report_add_up(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few fires are held at once, none is counted twice and none is forgotten."""
    tasks = [await past.task(f"t{number}", jitter="20s") for number in range(3)]
    for task in tasks:
        for number in range(5):
            await past.ran(task, number, number * SECOND)
    whole = await past.report()

    monkeypatch.setattr(rollup_count, "MOST_FIRES", 4)
    pieces = await past.report()

    assert pieces.as_json() == whole.as_json()
    assert whole.totals().due == 18


async def test_what_is_not_over_is_neither_late_nor_missed(past: Past) -> None:
    """A fire of a moment ago waits for its run, or for the watch."""
    task = await past.task("young")
    at = past.at(5)
    await past.ran(task, 4, SECOND)

    soon = await past.report(4, 5, now=at + 20 * SECOND)
    later = await past.report(4, 5, now=at + 10 * MINUTE)

    assert row(soon, "young", ("due", "waiting", "missed", "on_time_rate")) == [2, 1, 0, 1.0]
    assert row(later, "young", ("due", "waiting", "missed", "on_time_rate")) == [2, 0, 1, 0.5]


async def test_a_run_of_a_task_that_is_gone_and_one_of_an_event_were_due(
    past: Past, tenant: str
) -> None:
    """What ran counts, whether its task is registered still or fires by no clock."""
    gone = task_of(tenant_id=tenant, task_id="gone")
    await past.ran(gone, 1, 70 * SECOND)
    shown: dict[str, Any] = {"TRIGGER_TIME": past.at(2), "ACTUAL_START": past.at(2) + SECOND}
    run_id = event_run_id(tenant, "gone", "/shop", "1")
    await past.run(gone, run_id, TriggerKind.EVENT, **shown)

    report = await past.report()

    assert row(report, "gone", ("due", "on_time", "late")) == [2, 1, 1]
    assert report.warnings == []


async def test_a_run_that_a_blackout_put_off_counts_from_then(past: Past, tenant: str) -> None:
    """It is found by its id, however far its time was moved from what its schedule said."""
    task = await past.task("put-off")
    shown: dict[str, Any] = {"TRIGGER_TIME": past.at(9), "ACTUAL_START": past.at(9) + 2 * SECOND}
    for number in range(6):
        if number != 2:
            await past.ran(task, number, SECOND)
    await past.run(
        task, scheduled_run_id(tenant, "put-off", past.at(2)), TriggerKind.INTERVAL, **shown
    )

    report = await past.report()

    assert row(report, "put-off", ("due", "on_time", "p99_latency_s")) == [6, 6, 2.0]


async def test_without_a_worker_what_ran_is_still_told(past: Past, tenant: str) -> None:
    """Fires that no run came of are unknown then, and the report says so."""
    task = task_of(tenant_id=tenant, task_id="t")
    await past.ran(task, 0, SECOND)
    await past.report()  # until it is listed

    window = (past.at(0) - SECOND, past.at(1), past.now)
    report = await make_report(past.client, tenant, *window, task_queue="no-registry-is-here")

    assert row(report, "t", ("due", "on_time")) == [1, 1]
    long_ago = past.now - timedelta(days=80)
    old = await make_report(past.client, tenant, long_ago, *window[1:], task_queue=past.queue)
    assert any("the report begins at" in text for text in old.warnings)


async def test_the_command_tells_it_in_a_table_and_refuses_times_that_are_none(
    past: Past, cli: Cli, tenant: str
) -> None:
    """What is asked for wrongly is exit code 2; the table fits 100 columns."""
    task = await past.task("shown", sla={"start_within": "1m", "finish_within": "5m"})
    await past.ran(task, 0, SECOND)
    await past.report()

    queue = {"TASKFLOW_TASK_QUEUE": past.queue}
    window = ("--since", past.at(0).isoformat(), "--until", past.at(1).isoformat())
    table = await asyncio.to_thread(cli.run, "sla-report", *window, **queue)
    wrong = cli.run("sla-report", "--since", "1h", "--until", "2h", "--json", **queue)

    assert (table.code, table.err) == (0, "")
    assert f"{tenant}/shown" in table.out
    assert "100 %" in table.out
    assert max(len(line) for line in table.out.splitlines()) <= 100
    assert (wrong.code, wrong.document["errors"][0]["path"]) == (2, "since")


async def test_the_command_rebuilds_roll_ups_and_writes_csv(
    past: Past, cli: Cli, tenant: str
) -> None:
    """Days that are over are counted anew; the table for other tools has one line for a task."""
    # The server of these tests keeps runs for a day: yesterday is there in part, and just around
    # midnight there is no such day, or nothing was due in that part.
    midnight = past.now.replace(hour=0, minute=0, second=0, microsecond=0)
    if not SETTLING < past.now - midnight < timedelta(hours=23, minutes=25):
        pytest.skip("it is just midnight")
    past.start -= timedelta(days=1)
    task = await past.task("kept", triggers=[{"every": "30m"}])
    for number in range(0, 144, 36):
        late = 70 * SECOND if number else SECOND
        await past.ran(task, number, late, TASK_STATUS=RunState.FAILED)
    await past.listed()
    queue = {"TASKFLOW_TASK_QUEUE": past.queue}
    window = ("--since", "3d", "--rebuild")

    rebuilt = await asyncio.to_thread(cli.run, "sla-report", *window, "--json", **queue)
    table = await asyncio.to_thread(cli.run, "sla-report", *window, "--csv", **queue)
    both = await asyncio.to_thread(cli.run, "sla-report", "--csv", "--html", **queue)

    assert (rebuilt.code, rebuilt.err) == (0, "")
    days = rebuilt.document["rebuilt"]
    assert set(days) == {"counted", "waiting", "kept", "in_part", "gone"}
    yesterday = str((past.now - timedelta(days=1)).date())
    assert yesterday in days["in_part"]
    assert any("had forgotten a part" in text for text in rebuilt.document["warnings"])
    assert (table.code, "kept as before" in table.err) == (0, True)
    lines = list(csv.reader(io.StringIO(table.out), strict=True))
    assert lines[0][:4] == ["tenant_id", "task_id", "due", "on_time"]
    [row] = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert (row["tenant_id"], row["task_id"], row["success_met"]) == (tenant, "kept", "false")
    assert (both.code, "one of" in both.err) == (2, True)


async def test_the_page_needs_nothing_else_and_tells_what_misses(past: Past, tenant: str) -> None:
    """One file: nothing to fetch, nothing that runs, everything escaped; the targets are shown."""
    task = await past.task("shown")
    late = await past.task("late")
    for number in range(6):
        await past.ran(task, number, SECOND)
        await past.ran(late, number, 70 * SECOND)
    report = await past.report()
    report.warnings.append("<script>alert('&')</script>")

    page = as_html(report, past.now)

    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)" in page
    assert not re.search(r"(?:src|href)=|url\(|@import|https?:", page)
    assert "prefers-color-scheme: dark" in page
    whole = re.sub(r"<!doctype html>|<meta[^>]*>", "", page)
    found = ElementTree.fromstring(whole)  # noqa: S314 - it is our own
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in found.iter("tr")}
    assert rows[f"{tenant}/shown"][:3] == ["6", "100 %", "100 %"]
    assert rows[f"{tenant}/late"][:3] == ["6", f"0 % {MISSES}", "100 %"]
    assert rows["all"][:2] == ["12", f"50 % {MISSES}"]
    text = " ".join("".join(found.itertext()).split())
    assert "at least 98 % on time and 97 % successful. 1 of 2 tasks miss one." in text
    empty = as_html(SlaReport(past.start, past.now), past.now)
    assert "Nothing was due" in empty


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        *(("", "json"), ("*/*", "json"), ("text/csv", "csv"), ("application/json", "json")),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        *(("text/html;q=0.5, text/csv", "csv"), ("text/csv;q=0", "json"), (";q=x,", "json")),
    ],
)
def test_what_a_caller_likes_best_is_what_it_gets(accept: str, wanted: str) -> None:
    """By its `Accept`, as browsers and tools write it."""
    assert accepted(accept) == wanted
