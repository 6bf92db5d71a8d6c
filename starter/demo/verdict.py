"""Did every run that was due happen exactly once, and end as scripted? Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from domain.executions import compensation_key
from sandbox.client import Delivery
from starter.demo.scenario import Expected, Key
from starter.runs import RunView


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was due, what came, and every way in which the two differ."""

    due: int
    seen: int
    findings: list[str]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to find fault with."""
        return not self.findings and self.due > 0

    @property
    def line(self) -> str:
        """The demo's last line."""
        if self.ok:
            return (
                f"PASS: {self.due} runs were due, each happened exactly once and ended as scripted"
            )
        if not self.due:
            return "FAIL: no run was due: give the demo more time (DEMO_SECONDS)"
        count = f"{len(self.findings)} finding" + ("s" if len(self.findings) > 1 else "")
        return f"FAIL: {count} in {self.due} runs that were due"


def judge(
    due: Mapping[str, Key],
    runs: Sequence[RunView],
    deliveries: Iterable[Delivery],
    expected: Mapping[Key, Expected],
    until: datetime,
    *,
    groups: Mapping[str, frozenset[Key]] | None = None,
    announced: Iterable[str] = (),
) -> Verdict:
    """Compare the runs that were due (id -> task) with those that are, and with the plugins' log.

    Runs that fired after `until` are not judged: the demo ends before they do. `groups`: tasks of
    which never two runs may have been at their plugins at once, by name. `announced`: the runs of
    whose work orders the notification service was told, each as often as it was.
    """
    by_id = {run.run_id: run for run in runs}
    calls: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        calls[delivery.key].append(delivery)
    findings = [f"missing: {run_id}" for run_id in due if run_id not in by_id]
    findings += [f"seen twice: {i}" for i, n in Counter(r.run_id for r in runs).items() if n > 1]
    for run in runs:
        if run.run_id not in due and run.trigger_time and run.trigger_time <= until:
            findings.append(f"not due: {run.run_id}")
    orders = Counter(announced)
    for run_id, key in due.items():
        if run_id in by_id:
            run = by_id[run_id]
            findings += _differences(run, calls[run_id], expected[key])
            findings += _aftermath(run, calls[compensation_key(run_id)], orders, expected[key])
    for name, tasks in (groups or {}).items():
        findings += _collisions(
            name, [c for run, key in due.items() if key in tasks for c in calls[run]]
        )
    return Verdict(len(due), sum(run_id in by_id for run_id in due), sorted(findings))


def _differences(run: RunView, calls: Sequence[Delivery], expected: Expected) -> list[str]:
    effects = len({call.effect for call in calls if call.effect is not None})
    pairs = {
        "status": (run.status, expected.status),
        "error code": (run.error_code, expected.error_code),
        "retries": (run.retry_count, expected.attempts - 1),
        "calls": (len(calls), expected.attempts),
        "effects": (effects, expected.effects),
    }
    return [
        f"{run.run_id}: {what} {found}, scripted {wanted}"
        for what, (found, wanted) in pairs.items()
        if found != wanted
    ]


def _aftermath(
    run: RunView, undone: Sequence[Delivery], orders: Mapping[str, int], expected: Expected
) -> list[str]:
    """What was to follow on the run's end, and did not, or more than once."""
    effects = len({call.effect for call in undone if call.effect is not None})
    pairs = {
        "compensations": (effects, int(expected.compensated)),
        "work orders": (orders.get(run.run_id, 0), int(expected.work_order)),
    }
    return [
        f"{run.run_id}: {what} {found}, scripted {wanted}"
        for what, (found, wanted) in pairs.items()
        if found != wanted
    ]


def _collisions(group: str, calls: Sequence[Delivery]) -> list[str]:
    """Runs of one group that were at their plugins at the same time."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for call in calls:
        start, end = call.started_at, call.ended_at or call.started_at
        first, last = spans.get(call.key, (start, end))
        spans[call.key] = min(first, start), max(last, end)
    ordered = sorted(spans.items(), key=lambda span: span[1])
    return [
        f"{group} was held by {one} and {other} at once"
        for (one, (_, end)), (other, (start, _)) in pairwise(ordered)
        if start < end
    ]
