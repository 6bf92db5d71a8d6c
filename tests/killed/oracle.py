"""What must hold when all is over, whatever was killed meanwhile.

Each rule reads the evidence and says in sentences what is wrong; no sentence is a good end.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.executions import compensation_key, run_of_key
from domain.governor import GovernorView
from domain.notices import BreachKind, breach_id_of
from domain.sla import SlaStatus
from domain.states import RunState
from sandbox.client import Delivery, Notification
from starter.runs import RunView


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the outside saw and what Temporal shows.

    `due`: the runs that there should be. `groups`: the exclusive mutex group of a `tenant/task`.
    `later`: when keys that were accepted had their effect. `lost`: how many requests of a breach
    got no answer that could be recorded. `events` by arrival. `orders`: tasks (`tenant/task`) whose
    failures are told. `books` by tenant, of those that have some.
    """

    due: frozenset[str]
    runs: Sequence[RunView]
    deliveries: Sequence[Delivery] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    later: Mapping[str, datetime] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    notifications: Sequence[Notification] = ()
    lost: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] | None = None
    orders: frozenset[str] = frozenset()
    books: Mapping[str, GovernorView] = field(default_factory=dict)


def wrong(evidence: Evidence) -> list[str]:
    """Everything that is not as it must be."""
    return [found for rule in RULES for found in rule(evidence)]


def _task_of(found: Delivery | RunView) -> str:
    return f"{found.tenant_id}/{found.task_id}"


def every_due_run_has_ended(evidence: Evidence) -> Iterator[str]:
    """Each is there, and in an end state."""
    seen = {run.run_id for run in evidence.runs}
    yield from (f"{run_id} never ran" for run_id in sorted(evidence.due - seen))
    yield from (f"{run.run_id} is {run.status}" for run in evidence.runs if not run.ended)


def nothing_is_extra(evidence: Evidence) -> Iterator[str]:
    """No run that was not due, and no delivery for one."""
    seen = Counter(run.run_id for run in evidence.runs)
    yield from (f"{run_id} was not due" for run_id in sorted(set(seen) - evidence.due))
    yield from (f"{run_id} is there {count} times" for run_id, count in seen.items() if count > 1)
    keys = {found.key for found in evidence.deliveries}
    strange = {key for key in keys if run_of_key(key)[0] not in evidence.due}
    yield from (f"{key} was delivered, and was not due" for key in sorted(strange))


def each_key_has_one_effect(evidence: Evidence) -> Iterator[str]:
    """At most one, of its own; exactly one for what ended well or was undone."""
    effects: dict[str, set[int]] = defaultdict(set)
    keys: dict[int, set[str]] = defaultdict(set)
    for found in evidence.deliveries:
        if found.effect is not None:
            effects[found.key].add(found.effect)
            keys[found.effect].add(found.key)
    yield from (f"{key} had {len(many)} effects" for key, many in effects.items() if len(many) > 1)
    for number, shared in sorted(keys.items()):
        if len(shared) > 1:
            yield f"effect {number} is that of {len(shared)} keys"
    for run in evidence.runs:
        needs = {RunState.SUCCESS: run.run_id, RunState.COMPENSATED: compensation_key(run.run_id)}
        needed = needs.get(run.status)
        if needed and not effects.get(needed):
            yield f"{run.run_id} is {run.status}, and {needed} had no effect"


def no_group_has_two_holders(evidence: Evidence) -> Iterator[str]:
    """Of the runs of a group, one at a time is with its plugin or with what undoes it.

    An old attempt that was refused counts until the next one came.
    """
    edges: dict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
    begun: dict[str, datetime] = {}
    for found in reversed(evidence.deliveries):
        next_at, begun[found.key] = begun.get(found.key), found.started_at
        group = evidence.groups.get(_task_of(found))
        if group is None:
            continue
        if found.ended_at is None:
            yield f"{found.key} is still with its plugin"
            continue
        run_id = run_of_key(found.key)[0]
        end = max(found.ended_at, evidence.later.get(found.key, found.ended_at))
        if found.outcome == "stale" and next_at:
            end = min(end, next_at)
        # At one instant who leaves goes before who comes.
        edges[group] += [(found.started_at, 1, run_id), (end, 0, run_id)]
    for group, times in edges.items():
        inside: Counter[str] = Counter()
        for at, comes, run_id in sorted(times):
            inside[run_id] += 1 if comes else -1
            together = sorted(name for name, count in inside.items() if count > 0)
            if comes and len(together) > 1:
                yield f"{group} was held at {at:%H:%M:%S.%f} by {' and '.join(together)}"


def nothing_is_left(evidence: Evidence) -> Iterator[str]:
    """No grant, nobody who waits, no reservation."""
    for tenant, view in sorted(evidence.books.items()):
        state = view.state
        if view.restoring:
            yield f"the governor of {tenant} is still restoring"
        yield from (f"{holder.request.run_id} still holds" for holder in state.holders)
        yield from (f"{request.run_id} still waits" for request in state.waiting)
    yield from (f"{run_id} still has capacity" for run_id in sorted(evidence.reserved))


def each_breach_is_told_once(evidence: Evidence) -> Iterator[str]:
    """All that happened, and again only what got no answer."""
    told = {found.breach_id for found in evidence.notifications}
    for run in evidence.runs:
        for kind in _kinds(run, orders=_task_of(run) in evidence.orders):
            if (breach := breach_id_of(run.run_id, kind)) not in told:
                yield f"{breach} was not told"
    for found in evidence.notifications:
        if found.received > 1 + evidence.lost.get(found.breach_id, 0):
            yield f"{found.breach_id} was told {found.received} times"
        if found.run_id not in evidence.due:
            yield f"{found.breach_id} was told of a run that was not due"


def _kinds(run: RunView, *, orders: bool) -> Iterator[BreachKind]:
    if run.sla in (SlaStatus.START_BREACHED, SlaStatus.BREACHED):
        yield BreachKind.START
    if run.sla in (SlaStatus.FINISH_BREACHED, SlaStatus.BREACHED):
        yield BreachKind.FINISH
    if orders and run.status in (RunState.FAILED, RunState.COMPENSATED):
        yield BreachKind.FAILED


def events_tell_the_whole_story(evidence: Evidence) -> Iterator[str]:
    """Of each run every change in its order, the end last; None of them when nobody listens."""
    if evidence.events is None:
        return
    stories: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in evidence.events:
        stories[str(event["subject"])].append(event["data"])
    yield from (f"{run_id} was told of" for run_id in sorted(set(stories) - evidence.due))
    for run in evidence.runs:
        story = stories[run.run_id]
        numbers = [change["sequence"] for change in story]
        if numbers != list(range(1, len(story) + 1)):
            yield f"changes of {run.run_id} came as {numbers}"
        states = [str(change["status"]) for change in story]
        if [change["previous"] for change in story] != [None, *states[:-1]]:
            yield f"changes of {run.run_id} have gaps: {states}"
        if not states or states[-1] != run.status:
            yield f"{run.run_id} is {run.status}, and the last that was told is {states[-1:]}"


def fences_grow(evidence: Evidence) -> Iterator[str]:
    """Of each key with its attempts; what is older was refused as stale, or changed nothing."""
    newest: dict[str, Delivery] = {}
    for found in evidence.deliveries:
        before = newest.get(found.key)
        if before is None:
            newest[found.key] = found
            continue
        if (found.fence > before.fence) != (found.attempt > before.attempt):
            yield (
                f"{found.key} came with attempt {found.attempt} and fence {found.fence}"
                f" after attempt {before.attempt} and fence {before.fence}"
            )
        elif found.fence < before.fence:
            if found.outcome != "stale":
                yield f"{found.key}: the old attempt {found.attempt} was not refused"
        elif found.fence == before.fence and _task_of(found) in evidence.groups:
            yield f"{found.key}: attempt {found.attempt} came twice"
        if found.fence > before.fence:
            newest[found.key] = found


RULES: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    every_due_run_has_ended,
    nothing_is_extra,
    each_key_has_one_effect,
    no_group_has_two_holders,
    nothing_is_left,
    each_breach_is_told_once,
    events_tell_the_whole_story,
    fences_grow,
)
