"""The SLA report: fires that were due against the runs that are, task by task.

Both are read piece by piece, so that memory does not grow with the length of the report.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.registered import Registered
from domain.agenda import Agenda, Fire, Key, Spans
from domain.attributes import TASK_RUN, TRIGGER_TIME
from domain.duration import format_duration
from domain.ids import parse_run_id, scheduled_run_id
from domain.levels import FATES, Fate, Level
from domain.problems import InvalidInput, Problem
from domain.run import TriggerKind
from domain.states import RunState
from domain.watch import SeenRun, judge_run, stands_until
from shared.calls import at_once, is_missing
from shared.errors import NoWorker
from starter.present import refresh
from starter.rpc import temporal_errors
from starter.runs import RunView, view_of
from starter.times import rfc3339

MOST_FIRES = 50_000
"""Held at once: a report over more of them is made in several pieces."""
MOST_ASKED = 1_000
"""Fires without a run in Temporal's list that are asked for by their ids."""
WATCHED_WITHIN = timedelta(minutes=3)
"""After so long the watch has told of a fire that no run came of."""
REGISTERING = timedelta(seconds=5)
"""Between a task's registration and its schedule."""
LONGEST = timedelta(days=90)
_SECOND = timedelta(seconds=1)
_SCHEDULED = "TemporalScheduledStartTime"
_RECORDED = {RunState.MISSED: Fate.MISSED, RunState.SKIPPED: Fate.SKIPPED}

FireKey = tuple[Key, datetime]
"""A task, and the scheduled time of its fire."""


@dataclass(slots=True)
class SlaReport:
    """Levels by task, of the fires after `since` and up to `until`."""

    since: datetime
    until: datetime
    levels: defaultdict[Key, Level] = field(default_factory=lambda: defaultdict(Level))
    warnings: list[str] = field(default_factory=list)

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
            "rows": [
                {"tenant_id": key[0], "task_id": key[1], **self.levels[key].as_json()}
                for key in sorted(self.levels)
            ],
            "totals": self.totals().as_json(),
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
) -> SlaReport:
    """How the tasks (of a tenant) did, by what Temporal still has of that time.

    Errors: `InvalidInput` for the time, `TemporalUnreachable`.
    """
    until = min(until, now)
    check_window(since, until)
    with temporal_errors():
        retention = await _retention(client)
        report = SlaReport(min(max(since, now - retention), until), until)
        if report.since > since:
            report.warnings.append(
                f"Temporal keeps what has ended for {format_duration(retention)}: "
                f"the report begins at {rfc3339(report.since)}"
            )
        spans = await _spans(client, tenant_id, task_queue, report)
        await _Reporting(client, tenant_id, spans, report, now).run()
    return report


async def _retention(client: Client) -> timedelta:
    """How long Temporal keeps what has ended."""
    namespace = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    return namespace.config.workflow_execution_retention_ttl.ToTimedelta()


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


class _Reporting:
    """Goes through the time of a report once, from its beginning to its end."""

    def __init__(
        self,
        client: Client,
        tenant_id: str | None,
        spans: Mapping[Key, Spans],
        report: SlaReport,
        now: datetime,
    ) -> None:
        self._client = client
        self._tenant_id = tenant_id
        self._spans = spans
        self._report = report
        self._now = now
        self._asked = 0
        self._lost = 0
        self._standing: defaultdict[Key, list[tuple[datetime, datetime, Fate]]] = defaultdict(list)
        jitters = [span.task.jitter for own in spans.values() for span in own]
        self._most_jitter = max(jitters, default=timedelta(0))

    async def run(self) -> None:
        """Fill the report."""
        # Without a namespace tasks are due as if they had no jitter: by their scheduled times.
        agenda = Agenda(self._report.since)
        agenda.sync(self._spans)
        while agenda.position < self._report.until:
            after = agenda.position
            fires = await asyncio.to_thread(agenda.take, self._report.until, MOST_FIRES)
            await self._piece(fires, after, agenda.position)
        if self._lost:
            self._report.warnings.append(
                f"{self._lost:,} fires have neither a run nor a record, and count as missed: "
                "`taskflow doctor` tells whether the watch looks"
            )

    async def _piece(self, fires: list[Fire], after: datetime, until: datetime) -> None:
        absent = {(fire.key, fire.scheduled) for fire in fires}
        pages = self._client.list_workflows(self._query(after, until), page_size=1000)
        async for execution in pages:
            view = await view_of(execution)
            if view is None:
                continue
            key, scheduled = (view.tenant_id, view.task_id), _scheduled(view)
            if after < (scheduled or _due(view)) <= until:
                self._count(key, view)
                if scheduled:
                    absent.discard((key, scheduled))
        await self._settle(sorted(absent, key=lambda fire: fire[1]))

    def _query(self, after: datetime, until: datetime) -> str:
        """Runs of schedules by their scheduled time, others by when they were due."""
        first, last = rfc3339(after - _SECOND), rfc3339(until + _SECOND)
        jittered = rfc3339(until + self._most_jitter + _SECOND)
        tenant = f"AND TenantId = '{self._tenant_id}' " if self._tenant_id else ""
        return (
            f"WorkflowType = '{TASK_RUN}' {tenant}"
            f"AND (({_SCHEDULED} >= '{first}' AND {_SCHEDULED} <= '{last}') "
            f"OR ({_SCHEDULED} IS NULL AND "
            f"(({TRIGGER_TIME} >= '{first}' AND {TRIGGER_TIME} <= '{jittered}') OR "
            f"({TRIGGER_TIME} IS NULL AND StartTime >= '{first}' AND StartTime <= '{last}'))))"
        )

    def _count(self, key: Key, view: RunView) -> None:
        """One run, and the fire that it is of."""
        level = self._report.levels[key]
        began = view.actual_start is not None
        level.run(view.status, began=began, retries=view.retry_count, sla=view.sla)
        scheduled = _scheduled(view)
        if scheduled is None and view.trigger_kind != TriggerKind.EVENT:
            return  # by hand: nothing was due
        fate = _fate(view, self._now)
        latency = view.actual_start - _due(view) if view.actual_start else None
        level.fire(fate, latency)
        if scheduled and fate in _RECORDED.values() and (last := stands_until(view.reason or "")):
            self._standing[key].append((scheduled, last, fate))

    async def _settle(self, absent: list[FireKey]) -> None:
        """Fires that no listed run is of.

        A blackout may have put a run off, and Temporal's list lags behind its truth: some are asked
        for, and among them may be the records that stand for others.
        """
        unknown = [fire for fire in absent if not self._told(fire)]
        room = MOST_ASKED - self._asked
        asked, rest = unknown[:room], unknown[room:]
        self._asked += len(asked)
        found: set[FireKey] = set()

        async def ask(fire: FireKey) -> None:
            handle = self._client.get_workflow_handle(scheduled_run_id(*fire[0], fire[1]))
            try:
                view = await view_of(await handle.describe())
            except RPCError as error:
                if not is_missing(error):
                    raise
                return
            if view:
                self._count(fire[0], view)
                found.add(fire)

        await at_once(asked, ask)
        for fire in (*asked, *rest):
            if fire not in found and not self._told(fire):
                self._lose(fire)

    def _told(self, fire: FireKey) -> bool:
        """Count a fire that the record of an earlier one stands for, or that never was to be."""
        key, at = fire
        fates = (fate for first, last, fate in self._standing[key] if first < at <= last)
        if fate := next(fates, None):
            self._report.levels[key].fire(fate)
            return True
        return any(span.since < at <= span.since + REGISTERING for span in self._spans[key])

    def _lose(self, fire: FireKey) -> None:
        key, at = fire
        waits = self._now - at < WATCHED_WITHIN + self._most_jitter
        self._report.levels[key].fire(Fate.WAITING if waits else Fate.MISSED)
        self._lost += not waits


def _scheduled(view: RunView) -> datetime | None:
    parsed = parse_run_id(view.run_id)
    return parsed.scheduled_time if parsed else None


def _due(view: RunView) -> datetime:
    due = view.trigger_time or _scheduled(view)
    assert due is not None  # noqa: S101 - every run has the one or the other
    return due


def _fate(view: RunView, now: datetime) -> Fate:
    """As the watch judges it; what it recorded stands."""
    if view.status is RunState.MISSED:
        return Fate.MISSED
    seen = SeenRun(
        run_id=view.run_id,
        scheduled_time=_due(view),
        actual_start=view.actual_start,
        closed_at=view.ended_at,
        is_open=not view.ended,
        skipped=view.status is RunState.SKIPPED,
    )
    return FATES[judge_run(_due(view), seen, now=now)]
