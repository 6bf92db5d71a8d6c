"""Schedules against the registry: what is gone is made again, what was changed is set right.

Lists lag behind, so everything is confirmed by a strongly consistent look before it is acted on.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import structlog
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleListDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from activities.registered import Known, Registered
from domain.agenda import Key
from domain.due import next_due
from domain.ids import parse_schedule_id, schedule_id
from domain.limits import takes_events
from domain.watch import Counts
from shared.calls import at_once, is_missing
from shared.registry import put_of, remember
from shared.schedules import (
    LISTED_CALENDARS,
    SPEC_DIGEST,
    read_task,
    schedule_attributes,
)

log = structlog.get_logger(__name__)

UNDER_WAY = timedelta(seconds=60)
"""A command that changes a task needs so long at most from the registry to the schedule."""
MOST_REPAIRS = 500
"""Of a kind in one tick; the next goes on."""
RESTORED_NOTE = "restored by the watch"


@dataclass(slots=True)
class Checked:
    """What a check found and did: numbers, sentences, and who is paused behind our back."""

    counts: Counts = field(default_factory=Counts)
    findings: list[str] = field(default_factory=list)
    paused_in_temporal: set[Key] = field(default_factory=set)

    def add(self, count: str, action: str, key: Key, text: str, *, loud: bool = False) -> None:
        """Count, log and keep one thing."""
        self.counts = self.counts.plus(**{count: 1})
        self.findings.append(f"{key[0]}/{key[1]}: {text}")
        tell = log.error if loud else log.warning
        tell(text, action=action, tenant_id=key[0], task_id=key[1])


class ScheduleCheck:
    """Compares every schedule of ours with what should be; remembers whose are not ours."""

    def __init__(
        self, client: Client, registered: Registered, *, task_queue: str, unpause: bool
    ) -> None:
        self._client = client
        self._registered = registered
        self._task_queue = task_queue
        self._unpause = unpause
        self._foreign: set[Key] = set()

    async def run(self, now: datetime) -> Checked:
        """One check. Errors: `RPCError`; doing it again is safe."""
        done = Checked()
        listed: dict[Key, ScheduleListDescription] = {}
        async for entry in await self._client.list_schedules(page_size=1000):
            if key := parse_schedule_id(entry.id):
                listed[key] = entry
        await self._registered.refresh()
        tasks = self._registered.tasks
        old = now - UNDER_WAY

        async def make_again(known: Known) -> None:
            await self._make_again(known, done, now)

        async def set_right(known: Known) -> None:
            await self._set_right(known, done, now)

        async def pauses(known: Known) -> None:
            await self._compare_pauses(known, done)

        async def adopt(key: Key) -> None:
            await self._adopt(key, old, done)

        settled = [known for known in tasks.values() if known.entry.changed_at < old]
        gone = [k for k in settled if k.key not in listed and _is_due(k, now)]
        there = [known for known in settled if known.key in listed]
        changed = [known for known in there if _differs(known, listed[known.key], now)]
        paused = [k for k in there if _is_paused(listed[k.key]) != k.entry.paused]
        unknown = listed.keys() - tasks.keys() - self._foreign
        unwatched = {key for key in unknown if self._registered.has_no_room_for(key)}
        await at_once(gone[:MOST_REPAIRS], make_again)
        await at_once(changed[:MOST_REPAIRS], set_right)
        await at_once(paused, pauses)
        await at_once(sorted(unknown - unwatched)[:MOST_REPAIRS], adopt)
        _report_unwatched(unwatched, done)
        return done

    async def _make_again(self, known: Known, done: Checked, now: datetime) -> None:
        if await self._describe(known.key) is not None:
            return
        known_now = await self._registered.confirm(known.key)
        if known_now is None:
            return
        known, entry = known_now, known_now.entry
        schedule = known.schedule(now)
        schedule.state.paused = entry.paused
        schedule.state.note = entry.note if entry.paused else RESTORED_NOTE
        try:
            await self._client.create_schedule(
                schedule_id(*known.key),
                schedule,
                search_attributes=schedule_attributes(known.task, known.digest(now)),
            )
        except ScheduleAlreadyRunningError:
            return
        text = "its schedule was deleted in Temporal, and is made again"
        done.add("restored", "schedule_restored", known.key, text)

    async def _set_right(self, known: Known, done: Checked, now: datetime) -> None:
        known_now = await self._registered.confirm(known.key)
        if known_now is None or known_now.entry.digest != known.entry.digest:
            return  # changed meanwhile: the next tick knows it
        wanted, digest = known_now.schedule(now), known_now.digest(now)
        written = False

        async def update(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
            nonlocal written
            found = current.description
            written = not (
                found.typed_search_attributes.get(SPEC_DIGEST) == digest
                and found.schedule.spec == wanted.spec
                and found.schedule.policy == wanted.policy
            )
            if not written:
                return None
            wanted.state = found.schedule.state
            if not wanted.state.paused:
                wanted.state.note = RESTORED_NOTE
            return ScheduleUpdate(wanted, schedule_attributes(known.task, digest))

        try:
            await self._client.get_schedule_handle(schedule_id(*known.key)).update(update)
        except RPCError as error:
            if not is_missing(error):
                raise
            return
        if written:
            text = "its schedule was not as it should be by now, and is again"
            done.add("restored", "schedule_restored", known.key, text)

    async def _compare_pauses(self, known: Known, done: Checked) -> None:
        found = await self._describe(known.key)
        known_now = await self._registered.confirm(known.key)
        if found is None or known_now is None:
            return
        entry = known_now.entry
        if found.schedule.state.paused == entry.paused:
            return
        name = f"{known.key[0]}/{known.key[1]}"
        if entry.paused:
            text = f"runs in Temporal though it was paused: `taskflow pause {name}` again"
            done.add("reported", "schedule_resumed_outside", known.key, text, loud=True)
        elif self._unpause:
            await self._client.get_schedule_handle(found.id).unpause(note=RESTORED_NOTE)
            text = "was paused in Temporal, and is resumed"
            done.add("restored", "schedule_unpaused", known.key, text)
        else:
            done.paused_in_temporal.add(known.key)
            text = f"is paused in Temporal, and not by taskflow: `taskflow resume {name}` ends it"
            done.add("reported", "schedule_paused_outside", known.key, text, loud=True)

    async def _adopt(self, key: Key, old: datetime, done: Checked) -> None:
        """A schedule that the registry does not know: one from before it, or a deletion cut off."""
        found = await self._describe(key)
        if found is None:
            return
        action, task = found.schedule.action, await read_task(self._client, found.schedule)
        digest = found.typed_search_attributes.get(SPEC_DIGEST)
        if (
            task is None
            or digest is None
            or (task.tenant_id, task.task_id) != key
            or not isinstance(action, ScheduleActionStartWorkflow)
            or action.task_queue != self._task_queue
        ):
            self._foreign.add(key)
            return
        if await self._registered.confirm(key):
            return
        removed_at = await self._registered.removed_at(key)
        if removed_at is None:
            state = found.schedule.state
            put = put_of(
                task,
                weight=action.priority.fairness_weight or 1.0,
                digest=digest,
                task_queue=action.task_queue,
                paused=state.paused,
                note=state.note or "",
            )
            await remember(self._client, [put])
            done.add("adopted", "task_adopted", key, "was not in the registry, and is now")
        elif removed_at < old:
            await self._client.get_schedule_handle(found.id).delete()
            text = "was deleted, but for its schedule: that is deleted now"
            done.add("removed", "schedule_removed", key, text)

    async def expects(self, known: Known, at: datetime, *, now: datetime) -> bool:
        """Whether a schedule could have made a run for `at`, just after its task was registered.

        Between the registry and the schedule a command needs a moment, and nothing fires in it.
        """
        found = await self._describe(known.key)
        if found is None:
            return known.entry.changed_at < now - UNDER_WAY
        if found.schedule.state.note == RESTORED_NOTE:
            return True
        return at > max(found.info.created_at, found.info.last_updated_at or found.info.created_at)

    async def _describe(self, key: Key) -> ScheduleDescription | None:
        try:
            return await self._client.get_schedule_handle(schedule_id(*key)).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            return None


def _report_unwatched(keys: Set[Key], done: Checked) -> None:
    """One sentence for a tenant: these tasks can be thousands."""
    for tenant_id, group in groupby(sorted(keys), key=lambda key: key[0]):
        first, *others = group
        more = f", nor over {len(others):,} other tasks of {tenant_id}" if others else ""
        text = (
            f"its runs come, but nobody watches over them{more}: the tenant has more tasks "
            "than its registries hold, so give some of them to another tenant"
        )
        done.add("reported", "tasks_unwatched", first, text, loud=True)


def _is_due(known: Known, now: datetime) -> bool:
    """Whether the task has anything left to do: then its schedule should be there."""
    return takes_events(known.task) or bool(next_due(known.task, 1, after=now))


def _differs(known: Known, listed: ScheduleListDescription, now: datetime) -> bool:
    """Whether a listed schedule is worth a look; the list leaves out what is long."""
    if listed.typed_search_attributes.get(SPEC_DIGEST) != known.digest(now):
        return True
    spec = listed.schedule.spec if listed.schedule else None
    if (
        spec is None
        or max(len(spec.calendars), len(spec.intervals), len(spec.skip)) >= LISTED_CALENDARS
    ):
        return False
    return known.is_ours(now) and spec != known.schedule(now).spec


def _is_paused(listed: ScheduleListDescription) -> bool:
    return bool(listed.schedule and listed.schedule.state.paused)
