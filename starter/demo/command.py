"""The demo from start to verdict."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from temporalio.client import Client

from domain.task import Task
from sandbox.client import SandboxClient
from shared.errors import TaskflowError, TemporalUnreachable
from shared.settings import get_settings
from starter.control import describe_task, trigger
from starter.demo.display import Display, make_console, runs_table
from starter.demo.door import Door
from starter.demo.scenario import EXAMPLES, Key, Scenario, due_runs, load_scenario, quiet_moment
from starter.demo.verdict import Verdict, judge
from starter.dev.options import DevOptions
from starter.dev.stack import DevStack, dev_stack
from starter.forecast import make_forecast
from starter.registry import carry_out, make_plan
from starter.runs import RunView, list_runs

OK, FAILED, INTERRUPTED = 0, 1, 130
STATE = Path(".taskflow")
POLL_SECONDS = 0.5
MANUAL_RUNS = 3
ANNOUNCED_WITHIN = 15.0
"""Seconds within which the work order of a run that ended has been announced."""
_OF_OTHERS = ("TASKFLOW_TOKENS_FILE", "TASKFLOW_OIDC_ISSUER")
"""Who may come in elsewhere: the API of the demo is its own, and answers this machine alone."""
LAST_RUNS = timedelta(seconds=30)
"""How long runs that are due may take to show and to end after the last moment."""


def run_demo(seconds: float) -> int:
    """Run the examples for about `seconds`; exit code 0 only for a faultless verdict.

    Errors: `TaskflowError` when a part does not start or Temporal is lost for good.
    """
    return asyncio.run(_run(seconds, make_console()))


async def _run(seconds: float, console: Console) -> int:
    scenario = load_scenario()
    state = _state_folder()
    options = DevOptions(
        port=0,
        ui_port=0,
        api_port=0,
        sandbox_port=0,
        state_dir=state,
        sandbox_config=EXAMPLES / "plugins.yaml",
    )
    for name in _OF_OTHERS:
        os.environ.pop(name, None)
    _cancel_on_signals()
    try:
        console.print("Starting Temporal, the plugins and a worker ...")
        async with dev_stack(options, console.print) as stack:
            verdict = await _unless_it_gives_up(stack, _story(stack, scenario, seconds, console))
    except asyncio.CancelledError:
        console.print("demo: stopped, and every process of it with it")
        return INTERRUPTED
    for finding in verdict.findings:
        console.print(f"  [red]{finding}")
    console.print(f"[bold {'green' if verdict.ok else 'red'}]{verdict.line}")
    if not verdict.ok:
        console.print(f"The logs are kept in {state}/logs")
        return FAILED
    shutil.rmtree(state, ignore_errors=True)
    return OK


def _state_folder() -> Path:
    STATE.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="demo-", dir=STATE))


async def _unless_it_gives_up(stack: DevStack, story: Coroutine[Any, Any, Verdict]) -> Verdict:
    """The story's verdict; `TaskflowError` when a part of the stack cannot be kept running."""
    telling = asyncio.create_task(story)
    giving_up = asyncio.create_task(stack.tree.gave_up())
    try:
        await asyncio.wait([telling, giving_up], return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            return telling.result()
        raise TaskflowError(f"the demo cannot go on; the logs are kept in {stack.state_dir}/logs")
    finally:
        for task in (telling, giving_up):
            task.cancel()
        await asyncio.gather(telling, giving_up, return_exceptions=True)


async def _story(stack: DevStack, scenario: Scenario, seconds: float, console: Console) -> Verdict:
    """Register the examples, watch them fire, judge what came of it."""
    console.print(f"Look at every run in Temporal's Web UI: [bold]{stack.web_url}[/]")
    client = await stack.connect()
    begin = quiet_moment(scenario.tasks, datetime.now(UTC) + timedelta(seconds=0.5))
    await _sleep_until(begin)
    plan = await make_plan(client, scenario.registration, task_queue=get_settings().task_queue)
    await carry_out(client, plan)
    async with Door(stack.api_url or "", scenario.by_api.tenant_id) as door:
        await door.register(scenario.body)
        until = quiet_moment(scenario.tasks, begin + timedelta(seconds=seconds))
        due = await _due(client, scenario, until)
        console.print(
            f"Registered {len(plan.created)} tasks of examples/tasks.yaml, and one by the API;\n"
            f"{len(due)} runs are due until {until:%H:%M:%S} UTC, {MANUAL_RUNS} more by hand and "
            f"{len(scenario.event_runs)} by events"
        )
        await _foresee(client, seconds, console)
        due |= scenario.event_runs | await _by_hand(client, scenario.tasks[0])
        with Display(console, scenario.tasks, until) as display:
            runs, _ = await asyncio.gather(
                _watch(client, due, until, display),
                door.tell(scenario.batch, scenario.event_runs.keys()),
            )
    async with SandboxClient(stack.sandbox_url or "") as sandbox:
        deliveries = await sandbox.deliveries()
        orders = {run_id for run_id, key in due.items() if scenario.expected[key].work_order}
        announced = await _announced(sandbox, orders)
    judged = [
        run for run in runs if run.run_id in due or (run.trigger_time and run.trigger_time <= until)
    ]
    console.print(runs_table(judged))
    return judge(
        due,
        judged,
        deliveries,
        scenario.expected,
        until,
        groups=scenario.groups(),
        announced=announced,
    )


async def _due(client: Client, scenario: Scenario, until: datetime) -> dict[str, Key]:
    """The runs that clocks owe until then, each from when its task was registered."""
    due: dict[str, Key] = {}
    for task in scenario.tasks:
        key = (task.tenant_id, task.task_id)
        description, _ = await describe_task(client, *key)
        due |= dict.fromkeys(due_runs(task, description.info.created_at, until), key)
    return due


async def _by_hand(client: Client, task: Task) -> dict[str, Key]:
    """Runs of a task that are started now."""
    key = (task.tenant_id, task.task_id)
    started: dict[str, Key] = {}
    for number in range(MANUAL_RUNS):
        payload: JsonValue = {"asked_by": "demo", "number": number}
        started[await trigger(client, *key, payload=payload)] = key
    return started


async def _announced(sandbox: SandboxClient, wanted: set[str]) -> list[str]:
    """The runs of the work orders that were announced: that follows shortly on a run's end."""
    end = time.monotonic() + ANNOUNCED_WITHIN
    while True:
        told = (await sandbox.notifications()).notifications
        runs = [notification.run_id for notification in told if notification.work_order]
        if wanted <= set(runs) or time.monotonic() > end:
            return runs
        await asyncio.sleep(POLL_SECONDS)


async def _foresee(client: Client, seconds: float, console: Console) -> None:
    """Say what the forecast has for the time of the demo."""
    now = datetime.now(UTC)
    queue = get_settings().task_queue
    ahead = await make_forecast(client, None, seconds / 3600, now, task_queue=queue)
    waits = Counter(f"{c.tenant_id}/{c.tasks[0]} for {c.resource}" for c in ahead.conflicts)
    for what, count in waits.items():
        console.print(f"Foreseen: {count} runs of {what} will wait")


async def _watch(
    client: Client, due: dict[str, Key], until: datetime, display: Display
) -> Sequence[RunView]:
    """Show the runs until all that are due have ended, or have had time enough to."""
    runs: Sequence[RunView] = ()
    while True:
        note = ""
        try:
            runs = await list_runs(client, limit=5000)
        except TemporalUnreachable:
            note = "Temporal does not answer: waiting for it to come back ..."
        except TaskflowError as error:
            note = f"{error}"
        display.update(runs, note)
        ended = {run.run_id for run in runs if run.ended}
        now = datetime.now(UTC)
        if now > until and (due.keys() <= ended or now > until + LAST_RUNS):
            return runs
        await asyncio.sleep(POLL_SECONDS)


async def _sleep_until(moment: datetime) -> None:
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def _cancel_on_signals() -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if task:
            loop.add_signal_handler(number, task.cancel)
