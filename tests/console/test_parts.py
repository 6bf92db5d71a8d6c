"""What pages are made of: the picture, the verdict, links, and the files of the package."""

import asyncio
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from domain.forecast import ConflictAhead
from domain.outcomes import CircuitBrief, CircuitState
from domain.simulation import Outcome
from domain.sla import SlaStatus
from domain.states import RunState
from shared.settings import ROOT, Settings
from starter.ahead import MOST_FIRES, Ahead, FireAhead, look_ahead
from starter.api.console import links
from starter.api.console.render import static_file
from starter.api.console.timeline import BUCKETS, LANES, MOST_MARKS, draw
from starter.behind import Behind
from starter.breakers import BreakerRow
from starter.doctor import Check
from starter.health import plugins_of, sign_of_breakers, sign_of_check
from starter.recent import Recent
from starter.runs import RunView
from tests.conftest import task_of
from tests.console.harness import Owner, Stack

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SPAN = timedelta(hours=6)
PACKAGE = ROOT / "starter/api/console"


def _run(minutes_ago: float, state: RunState = RunState.SUCCESS, **said: Any) -> RunView:
    at = NOW - timedelta(minutes=minutes_ago)
    run = RunView(
        run_id=f"run/acme/report-{at:%Y-%m-%dT%H:%M:%SZ}",
        temporal_run_id="r",
        tenant_id="acme",
        task_id="report",
        plugin_id="builder",
        trigger_kind="cron",
        nominal_time=at,
        trigger_time=at,
        actual_start=at,
        ended_at=at + timedelta(minutes=1),
        duration_ms=60_000,
        status=state,
        reason=None,
        retry_count=0,
        error_code=None,
    )
    return replace(run, **said)


def _behind(*runs: RunView) -> Behind:
    return Behind(NOW - SPAN, NOW, list(runs), len(runs), NOW - SPAN)


def _ahead(*fires: FireAhead, **said: Any) -> Ahead:
    tasks = {"report": task_of(task_id="report"), "tokyo": task_of(_TOKYO, task_id="tokyo")}
    return Ahead(NOW, NOW + SPAN, NOW + SPAN, NOW - SPAN, tasks, fires=list(fires), **said)


_TOKYO = """
triggers: [{cron: "0 2 * * *", timezone: Asia/Tokyo}]
blackouts: [{cron: "0 15 * * *", duration: 2h}]
"""


def _fire(minutes: float, task_id: str = "report") -> FireAhead:
    at = NOW + timedelta(minutes=minutes)
    return FireAhead(at, task_id, f"run/acme/{task_id}-{at:%Y-%m-%dT%H:%M:%SZ}")


def test_the_picture_has_now_in_its_middle_and_everything_inside() -> None:
    """Of runs and fires that lie partly beyond it, the part inside is drawn."""
    runs = [_run(0.5, RunState.RUNNING, ended_at=None), _run(359), _run(400, ended_at=NOW)]
    picture = draw(_behind(*runs), _ahead(_fire(1), _fire(359)), NOW, SPAN)
    assert picture.now_x == 50
    rects = [rect for lane in picture.lanes for rect in lane.rects] + picture.bars
    assert all(rect.x >= 0 and rect.width > 0 and rect.x + rect.width <= 100.01 for rect in rects)
    kinds = {(rect.kind, rect.x < 50) for rect in rects}
    assert kinds == {("success", True), ("open", True), ("fire", False)}
    assert all(0 < tick.x < 100 for tick in picture.ticks)


def test_bars_count_each_run_and_each_fire_once() -> None:
    """The highest one fills the picture; what collides is on top."""
    conflict = ConflictAhead(
        *(_fire(31).at, "acme", "mutex", "warehouse", ("report", "tokyo"), 20.0, Outcome.WAITS),
        *(_fire(31).run_id, "UTC", None),
    )
    ahead = _ahead(_fire(31), _fire(32), conflicts=[conflict])
    picture = draw(_behind(_run(10), _run(11), _run(12, RunState.FAILED)), ahead, NOW, SPAN)
    past, coming = ([bar for bar in picture.bars if (bar.x < 50) is side] for side in (True, False))
    assert [bar.kind for bar in past] == ["success", "failure"]
    assert [bar.kind for bar in coming] == ["fire", "conflict"]
    assert "2 succeeded, 1 failed" in past[0].title
    assert past[1].y == 0
    assert len(picture.bars) <= BUCKETS * 6
    [lane] = picture.lanes
    [mark] = lane.marks
    assert "waits 20s for mutex group warehouse, held by tokyo" in mark.title
    assert "1 conflict ahead" in lane.summary


def test_a_wait_a_breach_and_a_blackout_are_drawn() -> None:
    """Times in their titles are on the clock of the task's zone, and in UTC."""
    due = NOW - timedelta(minutes=30)
    late = _run(10, task_id="tokyo", trigger_time=due, sla=SlaStatus.START_BREACHED)
    [lane] = draw(_behind(late), _ahead(), NOW, SPAN).lanes
    assert [rect.kind for rect in lane.rects] == ["blackout", "wait", "success"]
    assert [mark.kind for mark in lane.marks] == ["breach"]
    assert "20:30 +09:00 (11:30 UTC)" in lane.rects[1].title
    assert "fires are skipped" in lane.rects[0].title


def test_the_lanes_are_those_most_worth_a_look_and_too_many_fires_are_a_band() -> None:
    """What failed comes first; how many have no lane is said."""
    runs = [_run(5, task_id=f"t{number:02}") for number in range(LANES + 3)]
    bad = _run(5, RunState.FAILED, task_id="zz-bad")
    picture = draw(_behind(*runs, bad), None, NOW, SPAN)
    assert picture.lanes[0].task_id == "zz-bad"
    assert (len(picture.lanes), picture.hidden) == (LANES, 4)
    many = [_fire(0.5 + number * 0.5) for number in range(MOST_MARKS + 10)]
    [lane] = draw(_behind(), _ahead(*many), NOW, SPAN).lanes
    assert [rect.kind for rect in lane.rects] == ["fire"]
    assert f"{len(many)} fires" in lane.rects[0].title


async def test_of_too_many_fires_the_first_are_looked_at_and_where_they_end_is_drawn(
    console: Stack, ann: Owner
) -> None:
    """A tenant may have thousands in an hour, and a look ahead must not take minutes."""
    for number in range(3):
        await ann.register(f"t-{number}", triggers=[{"every": "10s"}])
    queue = console.door.context.settings.task_queue
    now = datetime.now(UTC)
    ahead = await look_ahead(console.client, ann.tenant, SPAN, now, task_queue=queue)
    for number in range(3):  # nothing of it runs while other tests do
        await ann.register(f"t-{number}", triggers=[{"cron": "0 2 1 1 *"}])
    assert len(ahead.fires) == MOST_FIRES
    assert ahead.cut
    assert ahead.until == ahead.fires[-1].at < ahead.end
    picture = draw(_behind(), ahead, now, SPAN)
    assert 50 < picture.known[1] < 100
    assert all(bar.x < picture.known[1] for bar in picture.bars)
    assert draw(_behind(), _ahead(), NOW, SPAN).known == (0, 100)


def test_a_tenant_is_told_of_no_other_ones_trouble() -> None:
    """Plugins that its tasks do not call, and what the watch could not mend for others."""
    circuit = CircuitBrief(
        plugin_id="billing", state=CircuitState.OPEN, since=NOW.timestamp(), reason="it is down"
    )
    rows = [BreakerRow(circuit, None)]
    whole = sign_of_breakers(rows, None)
    assert (whole.level, "billing since 12:00:00 UTC (it is down)" in whole.detail) == ("bad", True)
    assert sign_of_breakers(rows, plugins_of(_ahead())).level == "well"
    check = Check("watch", False, "looked 9s ago: due 3. globex/etl", "see", "looked 9s ago")
    assert "globex" in sign_of_check(check, whole=True).detail
    assert sign_of_check(check, whole=False).detail == "looked 9s ago"


async def test_what_was_worked_out_a_moment_ago_is_not_worked_out_again() -> None:
    """Who asks at the same time waits for it; after its time, an error or a change it is anew."""
    clock, made = [0.0], list[int]()
    recent: Recent[int] = Recent(15, most=2, clock=lambda: clock[0])

    async def work() -> int:
        await asyncio.sleep(0)
        made.append(len(made))
        if made == [0]:
            raise ValueError("not yet")
        return made[-1]

    with pytest.raises(ValueError, match="not yet"):
        await recent.get("a", work)
    assert await asyncio.gather(*(recent.get("a", work) for _ in range(3))) == [1, 1, 1]
    clock[0] = 15.0
    assert await recent.get("a", work) == 2
    recent.forget(lambda key: key == "a")
    assert [await recent.get(key, work) for key in "abc"] == [3, 4, 5]
    assert [await recent.get(key, work) for key in "ab"] == [6, 7]  # the oldest had to go


def test_links_escape_what_ids_may_hold() -> None:
    """Keys of runs by hand are any text."""
    assert (
        links.link("runs", "run/a/b/manual/x?y#z&") == "/console/runs/run/a/b/manual/x%3Fy%23z%26"
    )
    base, run_id = "https://ui.example/", "run/a/b/manual/ü"
    there = links.temporal_workflow(base, "default", run_id, "r")
    assert there.startswith("https://ui.example/namespaces/default/workflows/run%2Fa%2Fb%2Fmanual")
    with pytest.raises(ValidationError):
        Settings(temporal_ui_url="javascript:alert(1)")


async def test_pages_are_no_part_of_the_api_that_others_program_against(console: Stack) -> None:
    """OpenAPI has none of them."""
    paths = console.door.app.openapi()["paths"]
    assert not [path for path in paths if "console" in path]


async def test_static_files_may_be_kept_for_ever_and_change_their_address(console: Stack) -> None:
    """They are asked for by what they hold, and anybody may have them."""
    page = (await console.door.http.get("/console/sign-in")).text
    for name in ("console.css", "console.js", "icon.svg"):
        href = page.split(f'="/console/static/{name}')[1].split('"')[0]
        answer = await console.door.http.get(f"/console/static/{name}{href}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (answer.content, answer.headers["content-type"]) == static_file(name)


def test_templates_and_static_files_are_in_the_package() -> None:
    """Whoever installs it has all of them: what pyproject names is what there is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = project["tool"]["setuptools"]["package-data"]["starter.api.console"]
    said = {path for pattern in named for path in PACKAGE.glob(pattern)}
    there = {path for folder in ("templates", "static") for path in _files(PACKAGE / folder)}
    assert said == there
    assert len(there) > 10


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
