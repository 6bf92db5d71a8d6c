"""What will collide: every fire ahead, run through the ledgers that will decide about it.

Pure: the window, the lengths of runs and the state of the ledgers are arguments. Tasks that no
limit governs cost their fires only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal

from domain.agenda import Key, Spans
from domain.duration import format_duration
from domain.durations import Durations
from domain.ledger_state import LedgerState
from domain.limits import TenantLimits
from domain.simulation import Met, Outcome
from domain.tenant_ahead import Proposal, TenantAhead

MOST_CONFLICTS = 20_000
"""Of one forecast: the first ones are kept, all are counted."""

WORK, WORK_PER_FIRE = 25_000, 0.05
"""Fires that may be simulated again to find proposals: so many, shared by the tenants, and a part
of each tenant's own. So a forecast is linear in its fires, and proposals are its smaller part;
for one tenant alone there are more of them.
"""

Kind = Literal["mutex", "quota", "sla", "blackout"]
_KINDS: dict[str, Kind] = {
    "mutex": "mutex",
    "overlap": "mutex",
    "resource": "quota",
    "sla": "sla",
    "blackout": "blackout",
}


@dataclass(frozen=True, slots=True)
class ConflictAhead:
    """A run that will not go as its trigger says. `at`: when it is due, UTC.

    `resource`: the mutex group or resource, `max_concurrent`, `overlap` (a run of the same task
    has not ended), for an SLA `start_within` or `finish_within`, for a blackout its cron. `tasks`:
    the one that meets the conflict, then those that are in its way, the first few. `wait_s`: how
    long it waits; None when it never runs. `zone`: what the task's times are shown in.
    `noted`: the governor takes note of it when it comes.
    """

    at: datetime
    tenant_id: str
    kind: Kind
    resource: str
    tasks: tuple[str, ...]
    wait_s: float | None
    outcome: Outcome
    run_id: str
    zone: str
    proposal: Proposal | None
    noted: bool = False

    def sentence(self) -> str:
        """For people: who meets what, and what comes of it."""
        due = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.tenant_id}/{self.tasks[0]} due at {due} {self.outcome_text()}"

    def outcome_text(self) -> str:
        """What comes of it: the rest of a sentence that begins with the task or its run."""
        waited = _length(self.wait_s or 0)
        what = self._what()
        if self.kind == "sla":
            return f"is likely to break the {self.resource} of its SLA{self._cause(waited)}"
        if self.kind == "blackout" and self.outcome is Outcome.WAITS:
            return f"is put off for {waited} by {what}"
        said = {
            Outcome.WAITS: f"waits {waited} for {what}",
            Outcome.QUEUE_TIMEOUT: f"gives up waiting for {what} (queue_timeout)",
            Outcome.SKIPPED: f"is skipped because of {what}",
            Outcome.FAILED: f"fails because of {what}",
            Outcome.RUNS_BESIDE: f"runs in spite of {what}",
            Outcome.CANCELS: f"cancels {what}",
        }
        return said[self.outcome]

    def _others(self) -> str:
        return ", ".join(task for task in self.tasks[1:] if task != self.tasks[0])

    def _what(self) -> str:
        if self.resource == "overlap":
            return "its own earlier run"
        others = self._others() or ("its own earlier run" if len(self.tasks) > 1 else "")
        return f"{_WORDS[self.kind]} {self.resource}" + (f", held by {others}" if others else "")

    def _cause(self, waited: str) -> str:
        """Of an SLA: what it waits for, if it does."""
        others = self._others() or "its own earlier run"
        if self.outcome is Outcome.QUEUE_TIMEOUT:
            return f": it gives up waiting for {others}"
        return f": it waits {waited} for {others}" if self.wait_s else ""


def _length(seconds: float) -> str:
    whole = round(seconds)
    return format_duration(timedelta(seconds=whole)) if whole else "less than 1s"


_WORDS: dict[Kind, str] = {
    "mutex": "mutex group",
    "quota": "quota",
    "sla": "SLA",
    "blackout": "the blackout",
}


@dataclass
class Forecast:
    """The fires with start < trigger time <= end, and the first conflicts of `total`, by time."""

    start: datetime
    end: datetime
    tasks: int = 0
    fires: int = 0
    total: int = 0
    conflicts: list[ConflictAhead] = field(default_factory=list)

    def take(self, found: Iterable[ConflictAhead]) -> None:
        """Add conflicts, and let go of those that are too many."""
        self.conflicts += found
        if len(self.conflicts) > 2 * MOST_CONFLICTS:
            self.tidy()

    def tidy(self) -> None:
        """Order the conflicts, and keep the first ones."""
        self.conflicts.sort(key=lambda conflict: (conflict.at, conflict.tenant_id, conflict.tasks))
        del self.conflicts[MOST_CONFLICTS:]


def forecast(
    tasks: Mapping[Key, Spans],
    limits: Mapping[str, TenantLimits],
    durations: Durations,
    *,
    start: datetime,
    end: datetime,
    namespace_id: str | None = None,
    ledgers: Mapping[str, LedgerState] | None = None,
    propose: bool = True,
    slack_s: float = 0.0,
    advance: Callable[[], None] | None = None,
) -> Forecast:
    """Simulate the window (start, end], tenant by tenant.

    `tasks` as `domain.agenda.Agenda.sync` takes them: what is paused has no open span.
    `namespace_id` is what jitter is made of. `ledgers`: who holds and who waits at `start`, by
    tenant; nobody where there is none. `slack_s`: runs are taken to hold what they have for so much
    longer than they last, so that near conflicts show too. `advance` is called for each task that
    is done with.
    """
    found = Forecast(start, end)
    share = WORK // max(1, len({tenant_id for tenant_id, _ in tasks}))
    for tenant_id, group in groupby(sorted(tasks), key=lambda key: key[0]):
        ahead = TenantAhead(
            {key: tasks[key] for key in group},
            limits.get(tenant_id) or TenantLimits(),
            durations,
            start=start,
            end=end,
            namespace_id=namespace_id,
            state=(ledgers or {}).get(tenant_id),
            slack_s=slack_s,
        )
        ahead.look(MOST_CONFLICTS, advance)
        work = share + int(WORK_PER_FIRE * ahead.fires)
        proposals = ahead.proposals(work) if propose else {}
        found.tasks += ahead.tasks
        found.fires += ahead.fires
        found.total += ahead.total
        found.take(
            _conflict(tenant_id, met, ahead.zone(met.task_id), proposals.get(met.task_id))
            for met in ahead.met
        )
    found.tidy()
    return found


def _conflict(tenant_id: str, met: Met, zone: str, proposal: Proposal | None) -> ConflictAhead:
    kind, resource = place_of(met.dimension)
    return ConflictAhead(
        at=datetime.fromtimestamp(met.at, UTC),
        tenant_id=tenant_id,
        kind=kind,
        resource=resource,
        tasks=(met.task_id, *met.beside),
        wait_s=met.wait,
        outcome=met.outcome,
        run_id=met.run_id,
        zone=zone,
        proposal=proposal if proposal and not met.is_own else None,
        noted=met.noted,
    )


def place_of(dimension: str) -> tuple[Kind, str]:
    """Kind and resource of a conflict about a dimension."""
    kind, _, name = dimension.partition(":")
    resource = "overlap" if kind == "overlap" else name or "max_concurrent"
    return _KINDS.get(kind, "quota"), resource


def window(now: datetime, hours: float) -> tuple[datetime, datetime]:
    """From this second on, so many hours."""
    start = now.astimezone(UTC).replace(microsecond=0)
    return start, start + timedelta(hours=hours)
