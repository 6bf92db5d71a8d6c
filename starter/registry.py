"""Registering tasks: what would change, changing it, and finding what is registered."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from temporalio.client import (
    Client,
    ScheduleAlreadyRunningError,
    ScheduleListDescription,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from domain.ids import parse_schedule_id, schedule_id
from domain.limits import takes_events
from domain.registration import Registration
from shared.calls import at_once, is_missing
from shared.registry import Key, forget, remember
from shared.schedules import (
    SPEC_DIGEST,
    circumstances_of,
    next_times_of,
    read_task,
    schedule_attributes,
)
from shared.search_attributes import missing_search_attributes, register_search_attributes
from shared.secrets import Vault
from shared.settings import get_settings
from starter.conditions import tag_in
from starter.crowds import make_room
from starter.plan import (
    SHOWN_TIMES,
    Change,
    Plan,
    Total,
    Wanted,
    all_wanted,
    changes_of,
    silent,
)
from starter.rpc import temporal_errors
from starter.tenants import change_tenants, compare_tenants
from starter.times import rfc3339
from starter.unseen import unseen_secrets
from starter.verify import misfires

VERIFIED_BELOW = 100
"""Up to this many schedules are read one by one and compared whole. Beyond it a schedule whose
listed digest is the wanted one counts as unchanged: reading one costs as much as writing one."""
MOST_VERIFIED = 200
LOOKS, LOOK_SECONDS = 25, 0.02
"""A change shows within milliseconds."""

Guard = Callable[[str | None], None]
"""Says, by an error, that a task must not be changed whose tag is this; None: there is none."""


async def listed(
    client: Client, tenants: Iterable[str] | None = None
) -> dict[Key, ScheduleListDescription]:
    """Every registered task (of these tenants), as Temporal's eventually consistent list has it."""
    found: dict[Key, ScheduleListDescription] = {}
    with temporal_errors():
        for query in [None] if tenants is None else [f"TenantId = '{t}'" for t in tenants]:
            async for entry in await client.list_schedules(query):
                if key := parse_schedule_id(entry.id):
                    found[key] = entry
    return found


async def make_plan(
    client: Client,
    registration: Registration,
    *,
    task_queue: str,
    prune: bool = False,
    touch: bool = True,
    total: Total = silent,
) -> Plan:
    """Compare a file with what is registered; changes nothing but the search attributes.

    `prune` also deletes the tasks of the file's tenants that the file does not have. Without
    `touch`, a namespace that lacks search attributes is left so: nothing is registered there.
    """
    # A list costs as much as the tenant has tasks: for few of them it is not asked.
    few = not prune and len(registration.tasks) <= VERIFIED_BELOW
    with temporal_errors():
        if touch:
            await register_search_attributes(client)
        known = touch or few or not await missing_search_attributes(client)
        tenants = await compare_tenants(client, registration)
        room = await make_room(client, registration, task_queue, alone=prune)
        registration = room.registration
        circumstances = await circumstances_of(
            client, registration.tasks, task_queue, tenants.limited
        )
    present = await listed(client, registration.tenant_ids()) if known and not few else {}
    plan = Plan(
        registration,
        task_queue=task_queue,
        tenants=tenants.changes,
        limits=tenants.limits,
        warnings=room.warnings,
    )
    plan.warnings += await unseen_secrets(registration.tasks, Vault.of(get_settings()))
    compare: list[Wanted] = []
    for wanted in all_wanted(registration, tenants, circumstances):
        task = wanted.task
        plan.tags[wanted.key] = wanted.tag
        if not wanted.next_times and not takes_events(task):
            plan.warnings.append(f"{task.tenant_id}/{task.task_id} never fires again")
        entry = present.get(wanted.key)
        if few:
            compare.append(wanted)
        elif entry is None:
            plan.created.append(wanted)
        elif (
            len(present) > VERIFIED_BELOW
            and entry.typed_search_attributes.get(SPEC_DIGEST) == wanted.digest
        ):
            plan.unchanged += 1
        else:
            compare.append(wanted)

    async def compare_one(wanted: Wanted) -> None:
        try:
            description = await client.get_schedule_handle(wanted.id).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            plan.created.append(wanted)
            return
        task = await read_task(client, description.schedule)
        if changes := changes_of(description, task, wanted):
            triggers = task.model_dump(mode="json")["triggers"] if task else []
            before = next_times_of(triggers, description.info.next_action_times)[:SHOWN_TIMES]
            state = description.schedule.state
            plan.updated.append(
                Change(
                    wanted,
                    changes,
                    before,
                    state.paused,
                    state.note or "",
                    task,
                )
            )
        else:
            plan.unchanged += 1

    with temporal_errors():
        await at_once(compare, compare_one, total("Comparing", len(compare)))
    plan.created.sort(key=lambda wanted: wanted.key)
    if prune:
        plan.deleted = sorted(
            present.keys() - {(t.tenant_id, t.task_id) for t in registration.tasks}
        )
    plan.updated.sort(key=lambda change: change.wanted.key)
    return plan


async def carry_out(
    client: Client, plan: Plan, *, total: Total = silent, guard: Guard | None = None
) -> Plan:
    """Do what a plan says. What it finds done already by somebody else it does not do again.

    `guard` is asked about the tag that each task has at the moment of its change. Errors: its
    own; `TemporalUnreachable` when Temporal goes away in the middle; each schedule is then either
    as it was or as wanted, and the same apply again finishes the rest.
    """
    done = Plan(
        plan.registration,
        task_queue=plan.task_queue,
        unchanged=plan.unchanged,
        tenants=plan.tenants,
        conflicts_before=plan.conflicts_before,
        conflicts_after=plan.conflicts_after,
        new_conflicts=plan.new_conflicts,
        warnings=plan.warnings,
        tags=plan.tags,
    )

    changing = _Changing(client, done, guard)
    count = len(plan.created) + len(plan.updated) + len(plan.deleted)
    advance = total("Applying", count)
    # First what should be, then the schedules: killed in between, the watch finishes creating.
    puts = [wanted.as_put() for wanted in plan.created]
    puts += [
        change.wanted.as_put(paused=change.paused, note=change.note) for change in plan.updated
    ]
    with temporal_errors():
        # Limits before the tasks that they are for: no run asks before they hold.
        await change_tenants(client, plan.tenants, task_queue=plan.task_queue)
        await forget(client, plan.deleted)
        if guard is None:
            await remember(client, puts)
        await at_once(plan.created, changing.create, advance)
        await at_once(plan.updated, changing.replace, advance)
        await at_once(plan.deleted, changing.delete, advance)
        if guard is not None:
            # What a guard keeps from being changed, the watch must not change either: killed in
            # between, it puts back what was updated, and learns of what was created.
            await remember(client, puts)
        if len(done.updated) <= VERIFIED_BELOW:
            await at_once([change.wanted for change in done.updated], changing.until_shown)
        await _verify(client, done, total)
    done.created.sort(key=lambda wanted: wanted.key)
    done.updated.sort(key=lambda change: change.wanted.key)
    done.deleted.sort()
    return done


class _Changing:
    """One schedule at a time, and what was done about it. Errors: `RPCError`, and the guard's."""

    def __init__(self, client: Client, done: Plan, guard: Guard | None) -> None:
        self._client = client
        self._done = done
        self._guard = guard

    async def create(self, wanted: Wanted) -> None:
        """What is there already is replaced."""
        if self._guard:
            self._guard(None)
        try:
            await self._client.create_schedule(
                wanted.id,
                wanted.schedule,
                search_attributes=schedule_attributes(wanted.task, wanted.digest),
            )
        except ScheduleAlreadyRunningError:
            await self.replace(Change(wanted, [], []))
        else:
            self._done.created.append(wanted)

    async def replace(self, change: Change) -> None:
        """What is gone is created, and what is as wanted is left alone."""
        wanted = change.wanted
        changes: list[str] = []
        before: str | None = None

        async def update(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
            nonlocal before
            before = await tag_in(self._client, current.description.schedule)
            if self._guard:
                self._guard(before)
            task = await read_task(self._client, current.description.schedule)
            changes[:] = changes_of(current.description, task, wanted)
            if not changes:
                return None
            schedule = wanted.schedule
            schedule.state = current.description.schedule.state  # a paused task stays paused
            return ScheduleUpdate(schedule, schedule_attributes(wanted.task, wanted.digest))

        try:
            await self._client.get_schedule_handle(wanted.id).update(update)
        except RPCError as error:
            if not is_missing(error):
                raise
            await self.create(wanted)
            return
        if changes:
            done = Change(wanted, changes, change.times_before, tag_before=before)
            self._done.updated.append(done)
        else:
            self._done.unchanged += 1

    async def until_shown(self, wanted: Wanted) -> None:
        """Search attributes follow a change a moment later: whoever compares would find it undone.

        That they come at all is not waited for.
        """
        for _ in range(LOOKS):
            try:
                description = await self._client.get_schedule_handle(wanted.id).describe()
            except RPCError as error:
                if not is_missing(error):
                    raise
                return
            if description.typed_search_attributes.get(SPEC_DIGEST) == wanted.digest:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def delete(self, key: Key) -> None:
        """What is gone is deleted."""
        try:
            await self._client.get_schedule_handle(schedule_id(*key)).delete()
        except RPCError as error:
            if not is_missing(error):
                raise
        self._done.deleted.append(key)


async def _verify(client: Client, done: Plan, total: Total) -> None:
    """Ask the server itself what the new schedules will do around clock changes.

    Equal specs are asked about once, and at most `MOST_VERIFIED` of them.
    """
    changed = [*done.created, *(change.wanted for change in done.updated)]
    distinct = {str(wanted.schedule.spec): wanted for wanted in changed}
    asked = [wanted for wanted in distinct.values() if wanted.schedule.spec.calendars]

    async def ask(wanted: Wanted) -> None:
        for found in await misfires(client, wanted.id, wanted.task, now=datetime.now(UTC)):
            done.warnings.append(
                f"{wanted.task.tenant_id}/{wanted.task.task_id} does not fire as its triggers say "
                f"around {rfc3339(found.after)}: {len(found.extra)} too many, "
                f"{len(found.missing)} missing"
            )

    asked = asked[:MOST_VERIFIED]
    await at_once(asked, ask, total("Verifying", len(asked)))
