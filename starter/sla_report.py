"""The SLA report: whole days from their roll-ups, and the rest from Temporal's list of runs.

What roll-ups say of a tenant's day is not counted again: no run and no fire is in both.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from activities.registered import Registered
from activities.rollup import INSTANT
from activities.rollup_count import Counting, retention_of
from domain.agenda import Key, Spans
from domain.duration import format_duration
from domain.levels import ON_TIME_TARGET, SUCCESS_TARGET, Level
from domain.problems import InvalidInput, Problem
from domain.rollup import DAY, Counted, Mark, day_of, days_between, start_of
from shared.errors import NoWorker
from shared.rollup import RollupStore, TenantDay
from starter.present import PATIENCE_SECONDS, is_unanswered, refresh
from starter.rpc import temporal_errors
from starter.times import rfc3339

LONGEST = timedelta(days=400)
MOST_NAMED = 5
"""Days or tenants in a warning."""


@dataclass(slots=True)
class SlaReport:
    """Levels by task, of what was due from `since` on and before `until`.

    `rolled_up`: days that came from roll-ups, at least those of some tenants. `gone`: days between
    of which nobody knows everything any more.
    """

    since: datetime
    until: datetime
    levels: defaultdict[Key, Level] = field(default_factory=lambda: defaultdict(Level))
    warnings: list[str] = field(default_factory=list)
    rolled_up: set[date] = field(default_factory=set)
    gone: set[date] = field(default_factory=set)

    def totals(self) -> Level:
        """All tasks together."""
        level = Level()
        for one in self.levels.values():
            level.merge(one)
        return level

    def as_json(self) -> dict[str, Any]:
        """The document of `sla-report`: tasks with a fire or a run in this time, and the totals."""
        return {
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "targets": {"on_time_rate": ON_TIME_TARGET, "success_rate": SUCCESS_TARGET},
            "rows": [
                {"tenant_id": key[0], "task_id": key[1], **self.levels[key].as_json()}
                for key in sorted(self.levels)
            ],
            "totals": self.totals().as_json(),
            "rolled_up_days": len(self.rolled_up),
            "gone_days": [str(day) for day in sorted(self.gone)],
            "warnings": self.warnings,
        }


def check_window(since: datetime, until: datetime) -> None:
    """Errors: `InvalidInput` for a time that is none, or too long."""
    if since >= until:
        raise InvalidInput([Problem(("since",), "must be before `until`")])
    if until - since > LONGEST:
        raise InvalidInput([Problem(("since",), f"at most {LONGEST.days} days before `until`")])


async def make_report(
    client: Client,
    tenant_id: str | None,
    since: datetime,
    until: datetime,
    now: datetime,
    *,
    task_queue: str,
    rollups: bool = True,
) -> SlaReport:
    """How the tasks (of a tenant) did, by what is known of that time.

    `rollups`: whether to use them; without, it is what Temporal still lists. Errors: `InvalidInput`
    for the time, `TemporalUnreachable`.
    """
    until = min(until, now)
    check_window(since, until)
    with temporal_errors():
        retention = await retention_of(client)
        report = SlaReport(since, until)
        spans = await _spans(client, tenant_id, task_queue, report)
        known = _Known(tenant_id, now - retention)
        if rollups:
            await known.read(client, task_queue, report, {key[0] for key in spans})
        _begin(report, known, retention)
        counting = Counting(client, spans, now, tenant_id=tenant_id, wanted=known.misses)
        for after, last in _stretches(report, known):
            await counting.count(after, last)
    for key, level in counting.levels.items():
        report.levels[key].merge(level)
    # In a thread: a month of thousands of tasks takes seconds, and an API has others to answer.
    if lost := counting.lost.total() + await asyncio.to_thread(_merge, report, known):
        report.warnings.append(
            f"{lost:,} fires have neither a run nor a record, and count as missed: "
            "`taskflow doctor` tells whether the watch looks"
        )
    return report


async def _spans(
    client: Client, tenant_id: str | None, task_queue: str, report: SlaReport
) -> dict[Key, Spans]:
    """When which task was to fire. Without a worker nobody can say."""
    registered = Registered(client, task_queue, tenant_id)
    try:
        await refresh(registered)
    except NoWorker as error:
        report.warnings.append(f"fires that no run came of are not counted: {error}")
        return {}
    return {key: known.spans for key, known in registered.tasks.items()}


@dataclass(slots=True)
class _Known:
    """What roll-ups know of the whole days of a report.

    `horizon`: from when on Temporal has everything. `counts`: by tenant and day, those to use.
    """

    tenant_id: str | None
    horizon: datetime
    counts: dict[TenantDay, Counted] = field(default_factory=dict)
    marks: dict[date, Mark] = field(default_factory=dict)

    async def read(
        self, client: Client, task_queue: str, report: SlaReport, tenants: Collection[str]
    ) -> None:
        """`tenants`: those that are registered. Errors: `RPCError`."""
        days = whole_days_of(report.since, report.until)
        if not days:
            return
        store = RollupStore(client, task_queue, timedelta(seconds=PATIENCE_SECONDS))
        try:
            self.marks = await store.marks(days)
            names: Collection[str] = [self.tenant_id] if self.tenant_id else []
            if not self.tenant_id:
                marked = (name for mark in self.marks.values() for name in mark.tenants)
                names = {*tenants, *marked, *await store.listed()}
            found = await store.days(names, days)
        except RPCError as error:
            if not is_unanswered(error):
                raise
            report.warnings.append("roll-ups are not read: no worker answers, and they are asked")
            return
        self.counts = {
            (name, day): counted
            for (name, day), counted in found.items()
            if self._is_settled(name, day)
        }

    def _is_settled(self, tenant_id: str, day: date) -> bool:
        """What changes still is counted anew, unless Temporal has forgotten some of it."""
        mark = self.marks.get(day)
        return start_of(day) < self.horizon or not (mark and tenant_id in mark.waiting)

    def misses(self, tenant_id: str, at: datetime) -> bool:
        """Whether something of a tenant that was due at an instant is in no roll-up."""
        return (tenant_id, day_of(at)) not in self.counts

    def has_some_of(self, day: date) -> bool:
        """Whether there is anything of it."""
        return any(own == day for _, own in self.counts) or day in self.marks

    def lacks(self, day: date) -> list[str] | None:
        """The tenants that the day had and that no roll-up is there of, None: nobody knows."""
        if self.tenant_id and (self.tenant_id, day) in self.counts:
            return []
        if (mark := self.marks.get(day)) is None:
            return None
        had = {*mark.tenants, *mark.waiting}
        if self.tenant_id:
            had &= {self.tenant_id}
        return sorted(name for name in had if (name, day) not in self.counts)


def whole_days_of(since: datetime, until: datetime) -> list[date]:
    """The days that lie wholly in that time."""
    first = day_of(since + DAY - INSTANT)
    return days_between(first, day_of(until) - DAY)


def _begin(report: SlaReport, known: _Known, retention: timedelta) -> None:
    """Have the report begin with the first of which anything is known."""
    since = report.since
    if since >= known.horizon:
        return
    days = whole_days_of(since, report.until)
    first = next((start_of(day) for day in days if known.has_some_of(day)), report.until)
    begins = max(since, min(first, known.horizon))
    report.since = min(begins, report.until)
    if report.since > since:
        report.warnings.append(
            f"Temporal keeps what has ended for {format_duration(retention)}, and nothing was "
            f"rolled up before: the report begins at {rfc3339(report.since)}"
        )


def _stretches(report: SlaReport, known: _Known) -> list[tuple[datetime, datetime]]:
    """What is to be counted: after and up to, of every day that roll-ups do not tell wholly."""
    whole = set(whole_days_of(report.since, report.until))
    found: list[tuple[datetime, datetime]] = []
    for day in days_between(day_of(report.since), day_of(report.until - INSTANT)):
        start, end = max(start_of(day), report.since), min(start_of(day + DAY), report.until)
        if day in whole and known.lacks(day) == []:
            continue
        if end <= known.horizon:
            report.gone.add(day)
            continue
        if start < known.horizon:
            report.gone.add(day)
            start = known.horizon
        after, until = start - INSTANT, end - INSTANT
        if found and found[-1][1] == after:
            found[-1] = (found[-1][0], until)
        else:
            found.append((after, until))
    if report.gone:
        _tell_gone(report, known)
    return found


def _tell_gone(report: SlaReport, known: _Known) -> None:
    days = _shortened([str(day) for day in sorted(report.gone)])
    lacking = {name for day in report.gone for name in known.lacks(day) or []}
    whose = f" of {_shortened(sorted(lacking))}" if lacking and not known.tenant_id else ""
    report.warnings.append(
        f"Temporal has forgotten runs{whose} that were not rolled up: {days} tell less than was"
    )


def _merge(report: SlaReport, known: _Known) -> int:
    """Add what roll-ups tell; how many fires were lost by them."""
    in_part: list[str] = []
    unfinished = lost = 0
    for (tenant_id, day), counted in sorted(known.counts.items()):
        report.rolled_up.add(day)
        unfinished += counted.unfinished
        lost += counted.lost
        if counted.since:
            in_part.append(f"{day} of {tenant_id}")
        counted.add_to(_levels_of(report, tenant_id))
    if in_part:
        report.warnings.append(
            f"Temporal had forgotten a part when they were rolled up: {_shortened(in_part)}"
        )
    if unfinished:
        report.warnings.append(
            f"{unfinished:,} runs had not ended when Temporal was about to forget their day: "
            "they are counted by what they were then"
        )
    return lost


def _levels_of(report: SlaReport, tenant_id: str) -> Callable[[str], Level]:
    return lambda task_id: report.levels[tenant_id, task_id]


def _shortened(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
