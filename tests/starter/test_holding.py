"""Holding runs and tenants, with a real worker: who is held where, and who goes on meanwhile."""

from collections.abc import Awaitable, Callable

import pytest
from temporalio.client import Client

from domain.ids import registry_id
from domain.policy import Policy
from domain.registry import shard_of
from domain.states import RunState
from sandbox.client import SandboxClient
from shared.errors import NotFound, Refused
from shared.registry import read_shard
from starter import control, holding
from starter.runs import RunView, await_end, list_runs, view_of, with_pauses
from starter.tasks import show_task
from tests.starter.asking import Asking, text
from tests.starter.conftest import QUEUE
from tests.starter.harness import eventually_async

MUTEX = {"mutex_groups": {"db": 1}}
LATER = {"max_attempts": 3, "initial_interval": "4m"}

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


async def described(asking: Asking, run_id: str) -> RunView:
    """The run as it is, without the lag of a list."""
    found = await view_of(await asking.client.get_workflow_handle(run_id).describe())
    assert found is not None
    return (await with_pauses(asking.client, [found]))[0]


async def until(asking: Asking, run_id: str, fits: Callable[[RunView], bool]) -> RunView:
    """The run once it fits."""
    found: list[RunView] = []

    async def look() -> bool:
        found[:] = [await described(asking, run_id)]
        return fits(found[0])

    await eventually_async(look, within=20)
    return found[0]


def in_state(state: RunState) -> Callable[[RunView], bool]:
    """Whether a run is in `state`."""
    return lambda run: run.status is state


def held(run: RunView) -> bool:
    """Whether somebody holds a run."""
    return run.held


def waits_for(what: str) -> Callable[[RunView], bool]:
    """Whether a run waits for `what`."""
    return lambda run: run.waits_for == what


async def end(asking: Asking, *run_ids: str) -> None:
    """Cancel what is still open, and let go what is held."""
    for run_id in run_ids:
        await asking.client.get_workflow_handle(run_id).terminate()


async def test_all_open_runs_of_a_task_are_held_wherever_they_are(
    asking: Asking, plugin: SandboxClient
) -> None:
    """One in its back-off and one in the queue: both wait for nothing but the resume."""
    await plugin.configure("many", script=["fail:BROKEN"])
    await plugin.configure("slow", latency=60)
    many = {"task_id": "many", "plugin_id": "many", "mutex": ["db"], "retry": LATER}
    await asking.apply(many, {"task_id": "other", "plugin_id": "slow", "mutex": ["db"]}, **MUTEX)
    failed = await asking.trigger("many")
    await until(asking, failed, in_state(RunState.RETRYING))
    other = await asking.trigger("other")
    await until(asking, other, in_state(RunState.RUNNING))
    queued = await asking.trigger("many")
    await until(asking, queued, waits_for("mutex:db"))

    runs = await holding.pause_runs(
        asking.client, asking.tenant_id, "many", who="ann", reason="disk is full"
    )
    retrying, waiting = await until(asking, failed, held), await until(asking, queued, held)
    answer = await asking.until("many", "paused", says="paused by ann at ")

    assert runs == sorted([failed, queued])
    assert (retrying.status, waiting.status) == (RunState.RETRYING, RunState.QUEUED)
    for run in (retrying, waiting):
        assert run.pause is not None
        assert (run.pause.by, run.pause.reason) == ("ann", "disk is full")
    assert "disk is full" in text(answer)
    assert f"`taskflow resume {answer.run_id}` lets it go on" in text(answer)
    assert (await described(asking, other)).status is RunState.RUNNING

    await control.cancel(asking.client, None, other)
    await await_end(asking.client, other)
    assert len(await plugin.deliveries(plugin_id="many")) == 1
    assert (await described(asking, queued)).held

    again = await holding.resume_runs(asking.client, asking.tenant_id, "many")
    went_on = await until(asking, queued, in_state(RunState.RETRYING))
    back = await until(asking, failed, lambda run: run.waits_for is None)

    assert again == runs
    assert went_on.actual_start is not None
    assert len(await plugin.deliveries(plugin_id="many")) == 2
    assert (back.status, back.pause) == (RunState.RETRYING, None)
    await end(asking, failed, queued)


async def test_runs_that_have_just_started_are_held_too(
    asking: Asking, plugin: SandboxClient
) -> None:
    """Temporal's list does not have them yet; a plugin that is being called may finish."""
    await plugin.configure("busy", latency=4)
    await asking.apply({"task_id": "busy", "plugin_id": "busy"})
    started = [await asking.trigger("busy") for _ in range(3)]

    runs = await holding.pause_runs(asking.client, asking.tenant_id, "busy", who="ann", reason="")
    answer = await asking.until("busy", "running", says="it will be held before its next attempt")
    ends = [await await_end(asking.client, run_id) for run_id in runs]

    assert runs == sorted(started)
    assert "paused by ann at " in text(answer)
    assert {run.status for run in ends} == {RunState.SUCCESS}


async def test_a_held_run_leaves_its_lock_to_another_and_asks_again(
    asking: Asking, plugin: SandboxClient
) -> None:
    """In a short back-off it keeps the lock; held, it does not, and resumed it queues like all."""
    await plugin.configure("first", script=["fail:BROKEN", "ok"])
    await plugin.configure("slow", latency=60)
    short = {"max_attempts": 3, "initial_interval": "8s"}
    await asking.apply(
        {"task_id": "first", "plugin_id": "first", "mutex": ["db"], "retry": short},
        {"task_id": "second", "plugin_id": "slow", "mutex": ["db"]},
        **MUTEX,
    )
    first = await asking.trigger("first")
    await until(asking, first, in_state(RunState.RETRYING))
    second = await asking.trigger("second")
    await until(asking, second, waits_for("mutex:db"))

    await holding.pause_run(asking.client, asking.tenant_id, first, who="ann", reason="look")
    await until(asking, first, held)
    await until(asking, second, in_state(RunState.RUNNING))
    await holding.resume_run(asking.client, asking.tenant_id, first)
    asks = await until(asking, first, waits_for("mutex:db"))
    waiting = await asking.until("first", "waiting", says=second)
    await control.cancel(asking.client, None, second)
    ended = await await_end(asking.client, first)

    assert (asks.status, asks.position) == (RunState.QUEUED, 1)
    assert waiting.holder == second
    assert (ended.status, ended.retry_count) == (RunState.SUCCESS, 1)


async def test_asking_twice_renews_the_words_and_resuming_twice_changes_nothing(
    asking: Asking, plugin: SandboxClient
) -> None:
    """The last who and why are shown; a resume of what nobody holds is fine."""
    await plugin.configure("later", script=["fail:BROKEN"])
    await asking.apply({"task_id": "later", "plugin_id": "later", "retry": LATER})
    run_id = await asking.trigger("later")
    await until(asking, run_id, in_state(RunState.RETRYING))

    for who in ("ann", "bob"):
        await holding.pause_run(asking.client, None, run_id, who=who, reason=f"{who} knows")
    shown = await until(asking, run_id, held)
    detail = await show_task(asking.client, asking.tenant_id, "later")
    for _ in range(2):
        await holding.resume_run(asking.client, None, run_id)
    freed = await until(asking, run_id, lambda run: not run.held)
    answer = await asking.until("later", "retrying", says="; next attempt at ")

    assert shown.pause is not None
    assert (shown.pause.by, shown.pause.reason) == ("bob", "bob knows")
    assert detail.attempts == []
    assert freed.pause is None
    assert "paused by" not in text(answer)
    assert answer.expected_start is not None
    await end(asking, run_id)


async def test_only_open_runs_of_ones_own_tenant_can_be_held(
    asking: Asking, plugin: SandboxClient
) -> None:
    """Another tenant's run is as if it were not there, and an ended one is refused."""
    await plugin.configure("later", script=["fail:BROKEN"])
    await asking.apply({"task_id": "later", "plugin_id": "later", "retry": LATER})
    run_id = await asking.trigger("later")
    await until(asking, run_id, in_state(RunState.RETRYING))
    stranger = f"{asking.tenant_id}-b"

    acts: list[Callable[[str | None], Awaitable[None]]] = [
        lambda tenant: holding.pause_run(asking.client, tenant, run_id, who="eve", reason=""),
        lambda tenant: holding.resume_run(asking.client, tenant, run_id),
    ]
    for act in acts:
        with pytest.raises(NotFound, match="there is no run"):
            await act(stranger)
    with pytest.raises(NotFound):
        await holding.pause_run(asking.client, None, "some-other-workflow", who="eve", reason="")
    with pytest.raises(NotFound):
        await holding.pause_run(asking.client, None, f"{run_id}x", who="eve", reason="")
    assert await holding.pause_runs(asking.client, stranger, None, who="eve", reason="") == []
    assert not (await described(asking, run_id)).held
    await end(asking, run_id)
    for act in acts:
        with pytest.raises(Refused, match="has ended already"):
            await act(asking.tenant_id)


async def test_a_whole_tenant_is_paused_and_resumed(
    temporal: Client, policy: Policy, asking: Asking, plugin: SandboxClient
) -> None:
    """All its tasks and open runs, and nobody else's; what was paused before keeps its note."""
    await plugin.configure("later", script=["fail:BROKEN"])
    neighbour = Asking(temporal, policy, f"{asking.tenant_id}-b", QUEUE)
    task = {"plugin_id": "later", "retry": LATER}
    for who in (asking, neighbour):
        await who.apply({"task_id": "a"} | task, {"task_id": "b"} | task)
    runs = [await asking.trigger(name) for name in ("a", "b")]
    theirs = await neighbour.trigger("a")
    await control.pause(asking.client, asking.tenant_id, "b", who="bob", reason="mine")

    async def listed() -> bool:
        found = await list_runs(asking.client, tenant_id=asking.tenant_id)
        return len(found) == 2

    await eventually_async(listed)

    async def pause() -> holding.Held:
        return await holding.pause_all(
            asking.client, asking.tenant_id, who="ann", reason="move", running=True
        )

    first, second = await pause(), await pause()
    for run_id in runs:
        await until(asking, run_id, held)
    notes = {name: await _note_of(asking, name) for name in ("a", "b")}

    assert first == second
    assert (first.tasks, first.runs, first.recreated) == (["a", "b"], sorted(runs), [])
    assert (notes["a"][0], notes["b"][0]) == (True, True)
    assert notes["a"][1].startswith("paused by ann at ")
    assert notes["a"][1].endswith(": move")
    assert notes["b"][1].startswith("paused by bob at ")
    assert await _note_of(neighbour, "a") == (False, "")
    assert not (await described(asking, theirs)).held
    assert [await _remembered(asking, name) for name in ("a", "b")] == [True, True]

    freed = await holding.resume_all(asking.client, asking.tenant_id, who="ann", running=True)

    assert (freed.tasks, freed.runs) == (["a", "b"], sorted(runs))
    assert not any([(await _note_of(asking, name))[0] for name in ("a", "b")])
    assert [await _remembered(asking, name) for name in ("a", "b")] == [False, False]
    for run_id in runs:
        await until(asking, run_id, lambda run: not run.held)
    await end(asking, *runs, theirs)


async def _note_of(asking: Asking, task_id: str) -> tuple[bool, str]:
    description, _ = await control.describe_task(asking.client, asking.tenant_id, task_id)
    state = description.schedule.state
    return state.paused, state.note or ""


async def _remembered(asking: Asking, task_id: str) -> bool:
    """Whether the registry, and so the watch, expects no fires of the task."""
    shard = await read_shard(asking.client, registry_id(asking.tenant_id, shard_of(task_id)))
    return shard.entries[task_id].paused


async def test_nobodys_tasks_and_a_no_change_nothing(asking: Asking) -> None:
    """A tenant without tasks is not found; a person who says no is told that nothing was done."""
    with pytest.raises(NotFound, match="has no tasks"):
        await holding.pause_all(asking.client, asking.tenant_id, who="ann", reason="")
    await asking.apply({"task_id": "a"})

    async def refused() -> bool:
        try:
            await holding.pause_all(
                asking.client, asking.tenant_id, who="ann", reason="", confirm=lambda _: False
            )
        except NotFound:  # not listed yet
            return False
        except Refused as error:
            return str(error) == "nothing was changed"
        return False

    await eventually_async(refused)
    assert await _note_of(asking, "a") == (False, "")
