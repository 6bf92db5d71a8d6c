"""`python -m tests.workflows.record`: write the histories that the replay tests read and lack.

Delete one to record it again, but only when a change of its workflow cannot be made compatible with
what is open, and then say so in the change: until it is released, the old histories are what runs
in production.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.admission import Ledger
from domain.attributes import (
    BREAKER,
    DEBOUNCE,
    DELIVER_CHANGES,
    DELIVERY,
    GOVERNOR,
    REGISTRY,
    ROLLUP,
    ROLLUP_LOOK,
    WATCH,
)
from domain.breaker import Circuit, pack_circuit
from domain.debounce import DebounceStart, Newest, Superseded
from domain.decisions import Request
from domain.delivery import TAKE, Deliver, Delivered, DeliveryStart, Owed, SinkLine
from domain.governor import GovernorStart, Releases
from domain.ids import (
    breaker_id,
    debounce_id,
    delivery_id,
    governor_id,
    manual_run_id,
    recovery_queue,
    registry_id,
    rollup_id,
)
from domain.ledger_state import pack_ledger
from domain.levels import Level
from domain.limits import TenantLimits, demand_of
from domain.outcomes import BreakerAnswer, BreakerExchange, BreakerStart, Outcome, ProbeEnd
from domain.registry import Put, Remove, SetPaused, Snapshot
from domain.rollup import Drop, Keep, RollupStart, pieces_of
from domain.run import ManualFire
from domain.states import RunState
from domain.task import EventTrigger
from shared.governor import governor_queue
from shared.leave import leave
from shared.registry import put_of, watch_queue
from shared.settings import Settings
from tests.admission.harness import Governed, Place, succeeded, waiting
from tests.breaker.harness import recovering
from tests.conftest import start_temporal
from tests.events.harness import run_of
from tests.recovery import stories
from tests.workflows.harness import Handle, Runs, ended, fail, on_event, skip, stay_open, succeed
from tests.workflows.recovery_stories import RECOVERY_STORIES
from tests.workflows.routine_stories import ROUTINE_STORIES
from worker.build import new_worker
from worker.watch import build_watch_worker
from workflows import delivery
from workflows.delivery import Delivery

HISTORIES = Path(__file__).parent / "histories"
_SECOND = timedelta(seconds=1)
_QUICK = "retry: {max_attempts: 2, initial_interval: 100ms, max_interval: 100ms}\n"


async def _success(runs: Runs) -> Handle:
    return await runs.start(runs.script(succeed({"rows": 7}), task_id="success"))


async def _retried(runs: Runs) -> Handle:
    task = runs.script(fail("BUSY"), succeed(), lines=_QUICK, task_id="retried")
    return await runs.start(task)


async def _failed(runs: Runs) -> Handle:
    return await runs.start(runs.script(fail("BUSY"), lines=_QUICK, task_id="failed"))


async def _worker_lost(runs: Runs) -> Handle:
    lines = "retry: {max_attempts: 1}\nheartbeat_timeout: 1s"
    task = runs.script(stay_open(heartbeats=False), lines=lines, task_id="worker-lost")
    return await runs.start(task)


async def _cancelled(runs: Runs) -> Handle:
    lines = "heartbeat_timeout: 1s"
    task = runs.script(stay_open(heartbeats=True), lines=lines, task_id="cancelled")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    return handle


async def _skipped(runs: Runs) -> Handle:
    return await runs.start(runs.script(skip("the flag is off"), task_id="skipped"))


async def _manual(runs: Runs) -> Handle:
    fire = ManualFire(at=datetime(2026, 11, 23, 2, tzinfo=UTC), payload={"why": "asked"})
    return await runs.start(runs.script(succeed(), task_id="manual"), fire)


async def _scheduled(runs: Runs) -> Handle:
    task = runs.script(succeed(), task_id="scheduled", triggers=[{"every": "10s"}])
    every_second = task.triggers[0].model_copy(update={"every": timedelta(seconds=1)})
    return await runs.first_scheduled(task.model_copy(update={"triggers": [every_second]}))


async def _in_a_blackout(runs: Runs) -> Handle:
    always = [{"cron": "* * * * *", "duration": "5m"}]
    task = runs.script(succeed(), task_id="in-a-blackout", blackouts=always)
    return await runs.fire(task)


async def _of_an_event(runs: Runs) -> Handle:
    task = runs.script(succeed(), lines="overlap: allow", task_id="of-an-event")
    return await runs.receive(on_event(task), at=datetime(2026, 11, 23, 2, tzinfo=UTC))


async def _debounced(runs: Runs) -> Handle:
    """Waits for a newer event, and goes."""
    handles = await _burst(runs, "debounced")
    return handles[-1]


async def _superseded(runs: Runs) -> Handle:
    """Waits for a newer event, and is skipped for it."""
    handles = await _burst(runs, "superseded")
    return handles[0]


async def _debounce(runs: Runs) -> Handle:
    """Knows of a burst, and ends."""
    task = (await _burst(runs, "debounce"))[0].id.split("/")[2]
    rule = EventTrigger(event="order.created").model_dump_json()
    return await _to_its_end(runs, runs.client.get_workflow_handle(debounce_id("acme", task, rule)))


async def _debounce_continued(runs: Runs) -> Handle:
    """Goes on with a burst and with a run that is still to be told, and ends."""
    newest = Newest(run_id="run/acme/other/event/2", at=datetime.now(UTC), debounce=_SECOND)
    left = Superseded(run_id="run/acme/other/event/1", by=newest.run_id)
    handle = await runs.client.start_workflow(
        DEBOUNCE,
        DebounceStart(newest=newest, since=newest.at, untold=[left]),
        id=debounce_id("acme", "debounce-continued", ""),
        task_queue=recovery_queue(runs.queue),
    )
    return await _to_its_end(runs, handle)


async def _to_its_end(runs: Runs, handle: Handle) -> Handle:
    async with runs.debouncing():
        await ended(handle)
    return handle


async def _burst(runs: Runs, task_id: str) -> list[Handle]:
    task = on_event(runs.script(succeed(), lines="overlap: allow", task_id=task_id))
    handles = []
    async with runs.debouncing():
        for number in range(3):
            handles.append(await runs.receive(task, str(number), debounce=_SECOND))
            await asyncio.sleep(0.3)
        for handle in handles:
            await ended(handle)
    return handles


async def _late(runs: Runs) -> Handle:
    return await runs.start_found(runs.script(succeed(), task_id="late"))


async def _missed(runs: Runs) -> Handle:
    return await runs.start_found(runs.script(succeed(), task_id="missed"), RunState.MISSED)


async def _granted(governed: Governed) -> Handle:
    """Admitted at once, with a reservation."""
    place, tenant = Place(), "granted"
    place.let_go()
    await succeeded(await governed.go(governed.at(place, tenant, mutex=["m"])))
    task = governed.at(place, tenant, task_id="granted", mutex=["m"], resources={"gpu": 1})
    return await governed.go(task, key="1")


async def _queued(governed: Governed) -> Handle:
    """Waits behind a run, is nudged, and goes."""
    place, tenant = Place(), "queued"
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    handle = await governed.go(governed.at(place, tenant, task_id="queued", mutex=["m"]), key="1")
    await waiting(handle)
    place.let_go()
    return handle


async def _refused(governed: Governed) -> Handle:
    """Fails because of a conflict."""
    place, tenant = Place(), "refused"
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    task = governed.at(place, tenant, task_id="refused", mutex=["m"], on_conflict="fail")
    handle = await governed.go(task, key="1")
    await ended(handle)
    place.let_go()
    return handle


async def _waited_too_long(governed: Governed) -> Handle:
    """Reaches its queue deadline."""
    place, tenant = Place(), "waited-too-long"
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    late = {"task_id": "waited-too-long", "queue_timeout": "2s"}
    handle = await governed.go(governed.at(place, tenant, mutex=["m"], **late), key="1")
    await ended(handle)
    place.let_go()
    return handle


async def _replaced(governed: Governed) -> Handle:
    """Is cancelled while it runs, for a newer run."""
    place, tenant = Place(), "replaced"
    task = governed.at(place, tenant, task_id="replaced", overlap="cancel_running")
    handle = await governed.go(task, key="1")
    await place.entered(handle)
    newer = await governed.go(task, key="2")
    await ended(handle)
    place.let_go()
    await succeeded(newer)
    return handle


async def _governor(governed: Governed) -> Handle:
    """Begins, decides, is told limits and releases, and sweeps."""
    place, tenant = Place(), "governor"
    await governed.limit(tenant, TenantLimits(max_concurrent=5))
    holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await place.entered(holder)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    await governed.limit(tenant, TenantLimits(max_concurrent=6))
    handle = governed.client.get_workflow_handle(governor_id(tenant))
    await handle.signal("release", Releases(run_ids=["run/nobody/knows/manual/1"]))
    await holder.terminate()
    place.let_go(second)
    await succeeded(second)
    await governed.nothing_is_left(tenant)
    await handle.terminate()
    return handle


async def _governor_continued(governed: Governed) -> Handle:
    """Goes on with the ledger of the run before, which had a holder who never heard of it."""
    place, tenant = Place(), "governor-continued"
    ledger = Ledger(TenantLimits())
    task = governed.at(place, tenant, task_id="governor-continued", mutex=["m"])
    run_id = manual_run_id(tenant, task.task_id, "1")
    ledger.decide(Request(run_id, demand_of(task), 0.0, 4e9), 0.0)
    ledger.holders[run_id].confirmed = False
    handle = await governed.client.start_workflow(
        GOVERNOR,
        GovernorStart(tenant_id=tenant, packed=pack_ledger(ledger)),
        id=governor_id(tenant),
        task_queue=governor_queue(governed.queue),
    )
    place.let_go()
    await succeeded(await governed.go(task, key="1"))
    await governed.nothing_is_left(tenant)
    await handle.terminate()
    return handle


async def _registry(runs: Runs) -> Handle:
    """Every signal there is."""
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    tasks = [
        put_of(runs.script(task_id=f"t{n}"), weight=1.0, digest="1", task_queue="q")[1]
        for n in range(3)
    ]
    handle = await runs.client.start_workflow(
        REGISTRY,
        Snapshot(),
        id=registry_id("acme", 1),
        task_queue=watch_queue(runs.queue),
        start_signal="put",
        start_signal_args=[Put(at=at, tasks=tasks)],
    )
    await handle.signal("set_paused", SetPaused(at=at, task_ids=["t0"], paused=True, note="by ann"))
    await handle.signal("remove", Remove(at=at, task_ids=["t1"]))
    await handle.query("snapshot")
    await handle.terminate()
    return handle


async def _watch(runs: Runs) -> Handle:
    return await runs.client.start_workflow(WATCH, id="watch", task_queue=watch_queue(runs.queue))


async def _rollup(runs: Runs) -> Handle:
    """Lays a day down, takes a newer count of it, and is let go."""
    day, at = date(2026, 11, 22), datetime(2026, 11, 23, tzinfo=UTC)
    levels = {"report": Level(due=3, on_time=3, runs=3, succeeded=3)}
    first = pieces_of(day, levels, counted_at=at)
    handle = await runs.client.start_workflow(
        ROLLUP,
        RollupStart(pieces=pieces_of(day - timedelta(days=1), levels, counted_at=at)),
        id=rollup_id("acme", day, 0),
        task_queue=watch_queue(runs.queue),
        start_signal="keep",
        start_signal_args=[Keep(pieces=first)],
    )
    later = at + timedelta(hours=1)
    await handle.signal("keep", Keep(pieces=pieces_of(day, levels, counted_at=later)))
    await handle.query("pieces")
    await handle.signal("drop", Drop(day=day, before=later))
    await handle.query("pieces")
    await handle.signal("end")
    return handle


async def _rollup_look(runs: Runs) -> Handle:
    return await runs.client.start_workflow(
        ROLLUP_LOOK, id="rollups-look", task_queue=watch_queue(runs.queue)
    )


class _Sinks:
    """Plays `deliver_changes`: a sink that fails, then refuses a batch, and others that do not."""

    def __init__(self) -> None:
        self._calls = 0

    @activity.defn(name=DELIVER_CHANGES)
    async def deliver_changes(self, request: Deliver) -> Delivered:
        changes = request.changes.changes
        if request.sink == "slow":
            self._calls += 1
            if self._calls == 1:
                raise ApplicationError("it failed", type="SINK_UNAVAILABLE")
            if len(changes) > 1:
                return Delivered(one_by_one=True)
        return Delivered(settled=[c.sequence for c in changes], delivered=len(changes))


async def _delivery(runs: Runs) -> Handle:
    """Goes on with what a run before it owed, is handed more twice, and ends."""
    delivery.IDLE = timedelta(seconds=1)
    before, early, late = run_of(1), run_of(2, 3), run_of(4)
    left = SinkLine(sink="left", changes=before.changes, seen=[1])
    queue = recovery_queue(runs.queue)
    sinks = _Sinks().deliver_changes
    async with new_worker(runs.client, task_queue=queue, workflows=[Delivery], activities=[sinks]):
        handle = await runs.client.start_workflow(
            DELIVERY,
            DeliveryStart(run=before, lines=[left]),
            id=delivery_id("run/acme/report/manual/delivery"),
            task_queue=queue,
            start_signal=TAKE,
            start_signal_args=[Owed(changes=early, sinks=["slow", "quick"])],
        )
        await asyncio.sleep(0.5)
        await handle.signal(TAKE, Owed(changes=late, sinks=["slow", "quick"]))
        await ended(handle)
    return handle


async def _breaker(governed: Governed) -> Handle:
    """Opens, tells people, lets a probe go that fails and one that does not, and closes."""
    return await _circuit(governed, "breaker", None)


async def _breaker_continued(governed: Governed) -> Handle:
    """Goes on with a circuit that is open, and whose incident people know of."""
    now = datetime.now(UTC).timestamp()
    circuit = Circuit("breaker-continued", since=now, heard_at=now, changed_at=now)
    circuit.take(_failures(1), now)
    circuit.told_of = circuit.opened_at
    return await _circuit(governed, "breaker-continued", pack_circuit(circuit))


def _failures(sequence: int) -> BreakerExchange:
    codes = ["PLUGIN_TIMEOUT"]
    outcomes = [Outcome(tenant_id=t, failures=6, codes=codes) for t in ("acme", "beta")]
    return BreakerExchange(worker="w", sequence=sequence, outcomes=outcomes)


async def _circuit(governed: Governed, plugin_id: str, packed: str | None) -> Handle:
    async with recovering(governed.client, governed.queue):
        handle = await governed.client.start_workflow(
            BREAKER,
            BreakerStart(plugin_id=plugin_id, packed=packed),
            id=breaker_id(plugin_id),
            task_queue=recovery_queue(governed.queue),
        )
        sequence = 1

        async def exchange(request: BreakerExchange) -> BreakerAnswer:
            nonlocal sequence
            sequence += 1
            request = request.model_copy(update={"sequence": sequence})
            found: BreakerAnswer = await handle.execute_update(
                "exchange", request, result_type=BreakerAnswer
            )
            return found

        answer = await exchange(_failures(0))
        for number, ok in enumerate((False, True)):
            assert answer.circuit.retry_at
            await asyncio.sleep(answer.circuit.retry_at - datetime.now(UTC).timestamp() + 0.1)
            key = f"run/acme/t/manual/{number}#1"
            ask = BreakerExchange(worker="w", sequence=0, asks=key)
            assert (await exchange(ask)).granted
            ended = [ProbeEnd(key=key, ok=ok)]
            answer = await exchange(BreakerExchange(worker="w", sequence=0, ended=ended))
        await handle.terminate()
        return handle


async def _notice(runs: Runs) -> Handle:
    return await stories.notice_story(runs.client)


async def _notice_joined(runs: Runs) -> Handle:
    return await stories.notice_joined_story(runs.client)


async def _work_order(runs: Runs) -> Handle:
    return await stories.work_order_story(runs.client)


async def _work_order_waived(runs: Runs) -> Handle:
    return await stories.work_order_waived_story(runs.client)


STORIES: dict[str, Callable[[Governed], Awaitable[Handle]]] = {
    "success": _success,
    "retried": _retried,
    "failed": _failed,
    "worker_lost": _worker_lost,
    "cancelled": _cancelled,
    "skipped": _skipped,
    "manual": _manual,
    "of_an_event": _of_an_event,
    "debounced": _debounced,
    "superseded": _superseded,
    "scheduled": _scheduled,
    "in_a_blackout": _in_a_blackout,
    "late": _late,
    "missed": _missed,
    "granted": _granted,
    "queued": _queued,
    "refused": _refused,
    "waited_too_long": _waited_too_long,
    "replaced": _replaced,
    **RECOVERY_STORIES,
}
OTHER_STORIES: dict[str, Callable[[Governed], Awaitable[Handle]]] = {
    "registry": _registry,
    "watch": _watch,
    "rollup": _rollup,
    "rollup_look": _rollup_look,
    "governor": _governor,
    "governor_continued": _governor_continued,
    "breaker": _breaker,
    "breaker_continued": _breaker_continued,
    "delivery": _delivery,
    "debounce": _debounce,
    "debounce_continued": _debounce_continued,
    "notice": _notice,
    "notice_joined": _notice_joined,
    "work_order": _work_order,
    "work_order_waived": _work_order_waived,
    **ROUTINE_STORIES,
}
"""Those of workflows that are not runs."""


def _without_traces(value: Any) -> Any:
    """A history without stack traces: they hold paths of this machine, and no replay reads them."""
    if isinstance(value, dict):
        return {name: _without_traces(item) for name, item in value.items() if name != "stackTrace"}
    return [_without_traces(item) for item in value] if isinstance(value, list) else value


async def record() -> None:
    """Run every story once on a server of its own and keep its history."""
    HISTORIES.mkdir(exist_ok=True)
    async with await start_temporal(identity="recorder") as environment:
        runs = Governed(environment.client)
        runs.reserves = True  # there is no service: everything is granted
        settings = Settings(task_queue=runs.queue)
        async with runs.working(), build_watch_worker(environment.client, settings):
            for name, story in (STORIES | OTHER_STORIES).items():
                file = HISTORIES / f"{name}.json"
                if file.exists():  # it stands for runs that are open somewhere
                    continue
                handle = await story(runs)
                await ended(handle)
                history = (await handle.fetch_history()).to_json_dict()
                document = {"workflow_id": handle.id, "history": _without_traces(history)}
                file.write_text(json.dumps(document, indent=1) + "\n")
                sys.stdout.write(f"{file.name}: {len(history['events'])} events\n")


if __name__ == "__main__":
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the failures are on purpose
    asyncio.run(record())
    leave(0)
