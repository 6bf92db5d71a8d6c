"""Runs that get any signals at any time: whatever comes, their moves are those of the table.

Real workflows on a real server. A story is drawn, told to a run, and the run is then let go.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError, RPCStatusCode

from domain.attributes import NUDGE, PAUSE, RESUME, STOP, SUPERSEDED
from domain.events_out import StateChange
from domain.states import STATES, RunState, is_end
from tests.fuzz.effort import effort
from tests.starter.harness import eventually_async
from tests.workflows.harness import (
    Handle,
    Runs,
    Step,
    asked_to_hold,
    fail,
    skip,
    stay_open,
    succeed,
    succeed_when_cancelled,
    take,
)

_AT_ONCE = 6
_PATIENCE = 60.0
"""Seconds, after which a run that should have ended hangs."""

_STEPS: dict[str, Step] = {
    "succeed": succeed(1),
    "work": take(0.3),
    "skip": skip("a flag is off"),
    "stay": stay_open(heartbeats=True),
    "fail": fail("BUSY"),
    "fail for good": fail("BAD", retryable=False),
    "succeed all the same": succeed_when_cancelled(2),
    "circuit": fail("PLUGIN_CIRCUIT_OPEN", retry_after=timedelta(milliseconds=200), waits=True),
}
_SIGNALS = st.sampled_from(
    (PAUSE, RESUME, PAUSE, RESUME, NUDGE, STOP, SUPERSEDED, "cancel", "wait", "wait", "unknown")
)
_RETRY = {"initial_interval": "100ms", "max_interval": "300ms", "non_retryable": ["BAD"]}
_FIELDS = st.fixed_dictionaries(
    {
        "retry": st.integers(1, 3).map(lambda most: {**_RETRY, "max_attempts": most}),
        "timeout": st.just("2s"),  # a compensation is not cancelled: these two end it
        "queue_timeout": st.just("1s"),
    },
    optional={
        "compensation": st.just({"plugin_id": "undo"}),
        "sla": st.sampled_from(
            (
                {"start_within": "1s", "finish_within": "1s", "on_breach": "cancel"},
                {"start_within": "1s", "finish_within": "2s"},
            )
        ),
        "work_order": st.just("both"),
    },
)
_STORIES = st.tuples(
    st.lists(st.sampled_from(sorted(_STEPS)), min_size=1, max_size=3),
    _FIELDS,
    st.lists(_SIGNALS, max_size=6),
    st.booleans(),
)


@pytest.fixture(scope="module")
async def runs(temporal: Client) -> AsyncIterator[Runs]:
    """Starts runs to which somebody listens."""
    runs = Runs(temporal)
    runs.outside.listening = True
    async with runs.worker():
        yield runs


async def _tell(handle: Handle, signals: list[str]) -> None:
    """All of them, one after the other; the run may have ended before."""
    try:
        for signal in signals:
            match signal:
                case "wait":
                    await asyncio.sleep(0.15)
                case "cancel":
                    await handle.cancel()
                case "pause":
                    await handle.signal(PAUSE, asked_to_hold())
                case "stop" | "superseded":
                    await handle.signal(signal, "run/acme/newer/manual/1")
                case _:
                    await handle.signal(signal)
        await handle.signal(RESUME)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def _end(handle: Handle, *, stays: bool) -> RunState:
    """How it ends; one whose plugin is busy for ever is cancelled."""
    if stays:
        await asyncio.sleep(0.5)
        await handle.cancel()
    try:
        async with asyncio.timeout(_PATIENCE):
            return (await handle.result()).status
    except WorkflowFailureError as error:
        return RunState.CANCELLED if isinstance(error.cause, CancelledError) else RunState.FAILED


def _told_last(changes: list[StateChange]) -> list[RunState]:
    """The states of a run by its last words: in order, without gaps, each from where the last was.

    A workflow task that meets a signal at its end is made again, and then the run may tell of
    another way that it took; what it told first under the same numbers did not happen.
    """
    known = {change.sequence: change for change in changes}
    told = [known[number] for number in range(1, changes[-1].sequence + 1)]
    assert [change.previous for change in told] == [None, *(change.status for change in told[:-1])]
    return [change.status for change in told]


async def _live(runs: Runs, story: Any) -> None:
    steps, fields, signals, held = story
    task = runs.script(*(_STEPS[step] for step in steps), **fields)
    handle = await (runs.start_held(task) if held else runs.start(task))
    await _tell(handle, signals)
    ended = await _end(handle, stays=True)
    told = _told_last(runs.outside.changes[task.task_id])
    moves = pairwise([None, *told])
    assert all(before is None or after in STATES[before].next for before, after in moves)
    assert told[0] is RunState.PENDING
    assert told[-1] == ended
    assert is_end(ended)
    assert [is_end(state) for state in told].count(True) == 1
    attempts = [call.attempt for call in runs.plugin.calls[task.task_id]]
    assert all(attempt >= 1 for attempt in attempts)

    async def closed() -> bool:  # a call that was given up learns of it by its next heartbeat
        return runs.plugin.closed[task.task_id] == len(attempts)

    await eventually_async(closed)


@effort(2, slow=15)
@given(stories=st.lists(_STORIES, min_size=_AT_ONCE, max_size=_AT_ONCE))
async def test_signals_in_any_order_make_moves_of_the_table(runs: Runs, stories: list[Any]) -> None:
    """Each run tells one end, the one that it comes to, and no call of its plugin stays open."""
    await asyncio.gather(*(_live(runs, story) for story in stories))
