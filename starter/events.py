"""Events that come in, by whatever door: which tasks they run, and starting the runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import Client

from domain.events_in import CloudEvent
from domain.rules import FailedRule, Matches, RuleIndex
from shared.calls import at_once
from starter.intake import Limited
from starter.rpc import temporal_errors
from starter.rules import Rules

log = structlog.get_logger(__name__)

MOST_FAILED = 100
"""Failed filters that are told of one event."""
MOST_LOGGED = 10


@dataclass(frozen=True, slots=True)
class Started:
    """A run of the event: there is one now, whoever started it."""

    task_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class FailedFilter:
    """A filter that could not be evaluated; `rule` is the place of the trigger in its task."""

    task_id: str
    rule: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """What became of one event; the same for each time that it comes, while the tasks are the same.

    `paused`: tasks that it matches and does not start. `limited`: those whose rule has had enough
    for now, so that the event has to come again. `note`: what else there is to say.
    """

    id: str
    source: str
    type: str
    runs: list[Started] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    limited: list[Limited] = field(default_factory=list)
    failed_filters: list[FailedFilter] = field(default_factory=list)
    note: str | None = None

    @property
    def retry_after_s(self) -> int | None:
        """When to send it again, in whole seconds; None when that is not needed."""
        return max((limited.retry_after_s for limited in self.limited), default=None)

    def as_json(self) -> dict[str, Any]:
        """The event in an answer."""
        return {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "runs": [{"task_id": run.task_id, "run_id": run.run_id} for run in self.runs],
            "paused": self.paused,
            "limited": [
                {"task_id": one.task_id, "retry_after_s": one.retry_after_s} for one in self.limited
            ],
            "failed_filters": [
                {"task_id": one.task_id, "rule": one.rule, "reason": one.reason}
                for one in self.failed_filters
            ],
            "note": self.note,
        }


async def receive(
    client: Client, rules: Rules, tenant_id: str, events: Sequence[CloudEvent]
) -> list[Received]:
    """Start the runs of a tenant's events; when it returns, each of them has its runs.

    The same event starts nothing twice, whichever process takes it, for as long as Temporal retains
    runs. Errors: `TemporalUnreachable` and `TaskflowError` when not all were started: whoever sends
    all of them again does no harm.
    """
    await rules.confirm(tenant_id)
    at = datetime.now(UTC)
    # In a thread: thousands of filters take a while, and other requests are answered meanwhile.
    matches = await asyncio.to_thread(_matches, rules.index, tenant_id, events)
    for event, matched in zip(events, matches, strict=True):
        rules.metrics.received(matched)
        _log_failed(tenant_id, event, matched.failed)
    found: list[list[str | Limited]] = [[""] * len(matched.rules) for matched in matches]

    async def start(place: tuple[int, int]) -> None:
        number, index = place
        # Events of one request have an order too: a debounce lets the last one go.
        received = at + timedelta(microseconds=number)
        rule = matches[number].rules[index]
        found[number][index] = await rules.intake.start(client, rule, events[number], received)

    with temporal_errors():
        await at_once([(n, i) for n, runs in enumerate(found) for i in range(len(runs))], start)
    stale = rules.stale()
    return [
        _received(tenant_id, event, matched, outcomes, stale)
        for event, matched, outcomes in zip(events, matches, found, strict=True)
    ]


def _matches(index: RuleIndex, tenant_id: str, events: Sequence[CloudEvent]) -> list[Matches]:
    return [index.match(tenant_id, event) for event in events]


def _received(
    tenant_id: str,
    event: CloudEvent,
    matched: Matches,
    outcomes: Sequence[str | Limited],
    stale: str | None,
) -> Received:
    ids = zip(matched.rules, outcomes, strict=True)
    return Received(
        id=event.id,
        source=event.source,
        type=event.type,
        runs=[Started(rule.task.task_id, run) for rule, run in ids if isinstance(run, str)],
        paused=[rule.task.task_id for rule in matched.paused],
        limited=[outcome for outcome in outcomes if isinstance(outcome, Limited)],
        failed_filters=[
            FailedFilter(failed.rule.task.task_id, failed.rule.index, failed.reason)
            for failed in matched.failed[:MOST_FAILED]
        ],
        note=_note(tenant_id, matched, stale),
    )


def _note(tenant_id: str, matched: Matches, stale: str | None) -> str | None:
    """Why the event starts nothing."""
    if matched.rules:
        return None
    if matched.paused:
        return "every task that it matches is paused: it starts no run, and will start none later"
    note = f"no event trigger of tenant {tenant_id!r} matches it: it starts no run"
    return f"{note}; {stale}" if stale else note


def _log_failed(tenant_id: str, event: CloudEvent, failed: Sequence[FailedRule]) -> None:
    for one in failed[:MOST_LOGGED]:
        log.warning(
            "a filter failed",
            action="event_filter_failed",
            tenant_id=tenant_id,
            task_id=one.rule.task.task_id,
            rule=one.rule.index,
            event_id=event.id,
            event_type=event.type,
            reason=one.reason,
        )
