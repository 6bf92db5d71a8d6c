"""What registries say of events: which tasks each of them runs, and the index of all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from domain.ids import parse_registry_id
from domain.limits import takes_events
from domain.packing import unpack
from domain.registry import LIMITS_SHARD, Entry, Snapshot, unpack_task
from domain.rules import RuleIndex, RuleSource

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RuleShard:
    """What matters of a registry. `limited`: of the shard that has its tenant's limits."""

    version: int
    entries: Mapping[str, Entry]
    sources: dict[str, RuleSource]
    limited: bool


NOTHING = RuleShard(0, {}, {}, limited=False)


def built(
    shards: dict[str, RuleShard], before: RuleIndex, read: dict[str, Snapshot]
) -> tuple[dict[str, RuleShard], RuleIndex]:
    """The shards with those that were read, and their index: the same one if nothing changed.

    Filters are compiled here: else the first event that meets one would wait for it.
    """
    changed = False
    for workflow_id, snapshot in read.items():
        old = shards.pop(workflow_id, NOTHING)
        new = _decoded(workflow_id, snapshot, old)
        changed |= (old.sources, old.limited) != (new.sources, new.limited)
        if snapshot.version:  # else there is no such registry
            shards[workflow_id] = new
    if not changed:
        return shards, before
    index = RuleIndex.of(_sources(shards))
    index.compile()
    return shards, index


def _sources(shards: dict[str, RuleShard]) -> Iterator[RuleSource]:
    limited = {tenant_of(workflow_id) for workflow_id, shard in shards.items() if shard.limited}
    for workflow_id, shard in shards.items():
        is_limited = tenant_of(workflow_id) in limited
        for source in shard.sources.values():
            yield replace(source, limited=is_limited) if is_limited else source


def _decoded(workflow_id: str, snapshot: Snapshot, before: RuleShard) -> RuleShard:
    """The tasks of a shard that events run; those that are as before are not read again."""
    sources: dict[str, RuleSource] = {}
    for task_id, entry in snapshot.entries.items():
        known = before.entries.get(task_id)
        if known and known.task == entry.task:
            source = before.sources.get(task_id)
        else:
            source = _source_of(tenant_of(workflow_id), task_id, entry)
        if source:
            sources[task_id] = replace(
                source, weight=entry.weight, task_queue=entry.task_queue, paused=entry.paused
            )
    limits = snapshot.limits if workflow_id.endswith(f"/{LIMITS_SHARD}") else None
    limited = limits is not None and limits.max_concurrent is not None
    return RuleShard(snapshot.version, snapshot.entries, sources, limited)


def _source_of(tenant_id: str, task_id: str, entry: Entry) -> RuleSource | None:
    """None for a task that no event runs: to read those whole would take ten times as long."""
    try:
        if b'"event"' not in unpack(entry.task):
            return None
        task = unpack_task(entry.task)
    except ValueError as error:
        log.error(  # noqa: TRY400 - one bad entry, said in a line
            "a registered task cannot be read",
            action="registry_unreadable",
            tenant_id=tenant_id,
            task_id=task_id,
            reason=str(error)[:300],
        )
        return None
    if not takes_events(task):
        return None
    return RuleSource(task, entry.weight, entry.task_queue, paused=entry.paused, limited=False)


def tenant_of(workflow_id: str) -> str:
    """Whose registry it is."""
    parsed = parse_registry_id(workflow_id)
    return parsed[0] if parsed else ""
