"""The oracle accepts a good end, and each of its rules can fail."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.admission import Ledger
from domain.decisions import Request
from domain.governor import GovernorView
from domain.ledger_state import state_of
from domain.limits import TenantLimits, demand_of
from domain.sla import SlaStatus
from domain.states import RunState
from sandbox.client import Delivery, Notification
from starter.runs import RunView
from tests.conftest import task_of
from tests.killed.oracle import Evidence, wrong

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
A, B = "run/acme/a/manual/1", "run/acme/b/manual/1"


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def run(run_id: str, status: RunState = RunState.SUCCESS, sla: SlaStatus | None = None) -> RunView:
    """A run as Temporal shows it."""
    task_id = run_id.split("/")[2]
    return RunView(
        *(run_id, "1", "acme", task_id, "p", "manual", NOON, NOON, NOON, at(9), 9000, status),
        *(None, 0, None, sla),
    )


def delivery(key: str, since: float, until: float | None, **fields: Any) -> Delivery:
    """One that had its effect, unless the fields say otherwise."""
    run_id = key.removesuffix("/compensation")
    said: dict[str, Any] = {
        "key": key,
        "delivery": 1,
        "attempt": 1,
        "fence": 1001,
        "plugin_id": "p",
        "tenant_id": "acme",
        "task_id": run_id.split("/")[2],
        "run_id": key,
        "traceparent": "",
        "started_at": at(since),
        "ended_at": None if until is None else at(until),
        "outcome": "ok",
        "effect": 1 if run_id == A else 2,
    }
    return Delivery.model_validate(said | fields)


def story(run_id: str, *states: RunState) -> list[dict[str, Any]]:
    """The events of a run that went through these states."""
    before = (None, *states)
    changes = enumerate(zip(states, before, strict=False), start=1)
    return [
        {"subject": run_id, "data": {"sequence": n, "status": state, "previous": previous}}
        for n, (state, previous) in changes
    ]


def notification(breach_id: str, received: int = 1) -> Notification:
    """A breach that was told."""
    run_id, _, kind = breach_id.rpartition("/")
    return Notification(
        breach_id=breach_id,
        kind=kind.upper(),
        tenant_id="acme",
        task_id="a",
        run_id=run_id,
        expected_by=None,
        observed_at=NOON,
        severity="medium",
        message="",
        work_order=None,
        work_order_id=None,
        received=received,
        at=NOON,
    )


def books(*, holds: bool = False) -> GovernorView:
    """A ledger, which one run may hold."""
    ledger = Ledger(TenantLimits())
    if holds:
        demand = demand_of(task_of(mutex=["m"]), manual=True)
        ledger.decide(Request(A, demand, 0.0, 60.0), 0.0)
    return GovernorView(state=state_of(ledger))


RAN = (RunState.PENDING, RunState.RUNNING, RunState.SUCCESS)
GOOD = Evidence(
    due=frozenset({A, B}),
    runs=[run(A), run(B, sla=SlaStatus.FINISH_BREACHED)],
    deliveries=[delivery(A, 0, 2), delivery(B, 2, 4)],
    groups={"acme/a": "m", "acme/b": "m"},
    notifications=[notification(f"{B}/finish")],
    events=story(A, *RAN) + story(B, *RAN),
    books={"acme": books()},
)
EXTRA = "run/acme/a/manual/2"

BAD: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a run never came": (
        lambda e: replace(e, due=e.due | {EXTRA}),
        f"{EXTRA} never ran",
    ),
    "a run is not over": (
        lambda e: replace(e, runs=[run(A, RunState.RETRYING), run(B)]),
        f"{A} is RETRYING",
    ),
    "a run is extra": (
        lambda e: replace(e, runs=[*e.runs, run(EXTRA)]),
        f"{EXTRA} was not due",
    ),
    "a run is there twice": (
        lambda e: replace(e, runs=[*e.runs, run(A)]),
        f"{A} is there 2 times",
    ),
    "a delivery is extra": (
        lambda e: replace(e, deliveries=[*e.deliveries, delivery(EXTRA, 5, 6, effect=3)]),
        f"{EXTRA} was delivered, and was not due",
    ),
    "a key had two effects": (
        lambda e: replace(
            e, deliveries=[*e.deliveries, delivery(A, 5, 6, attempt=2, fence=1002, effect=3)]
        ),
        f"{A} had 2 effects",
    ),
    "two keys share an effect": (
        lambda e: replace(e, deliveries=[delivery(A, 0, 2), delivery(B, 2, 4, effect=1)]),
        "effect 1 is that of 2 keys",
    ),
    "a success has no effect": (
        lambda e: replace(e, deliveries=[delivery(A, 0, 2), delivery(B, 2, 4, effect=None)]),
        f"{B} is SUCCESS, and {B} had no effect",
    ),
    "what was undone had no effect": (
        lambda e: replace(e, runs=[run(A, RunState.COMPENSATED), *e.runs[1:]], events=None),
        f"{A} is COMPENSATED, and {A}/compensation had no effect",
    ),
    "two hold a group at once": (
        lambda e: replace(e, deliveries=[delivery(A, 0, 2), delivery(B, 1.9, 4)]),
        f"m was held at 12:00:01.900000 by {A} and {B}",
    ),
    "two hold a group, one of them by what was accepted": (
        lambda e: replace(e, later={A: at(3)}),
        f"m was held at 12:00:02.000000 by {A} and {B}",
    ),
    "two hold a group, one of them by its compensation": (
        lambda e: replace(
            e, deliveries=[*e.deliveries, delivery(f"{A}/compensation", 3, 6, effect=3)]
        ),
        f"m was held at 12:00:03.000000 by {A} and {B}",
    ),
    "a call is still open": (
        lambda e: replace(e, deliveries=[delivery(A, 0, 2), delivery(B, 2, None)]),
        f"{B} is still with its plugin",
    ),
    "a grant is left": (
        lambda e: replace(e, books={"acme": books(holds=True)}),
        f"{A} still holds",
    ),
    "a reservation is left": (
        lambda e: replace(e, reserved=frozenset({B})),
        f"{B} still has capacity",
    ),
    "a breach was not told": (
        lambda e: replace(e, notifications=[]),
        f"{B}/finish was not told",
    ),
    "a failure was not told": (
        lambda e: replace(
            e,
            runs=[run(A, RunState.FAILED), e.runs[1]],
            orders=frozenset({"acme/a"}),
            events=None,
        ),
        f"{A}/failed was not told",
    ),
    "a breach was told twice": (
        lambda e: replace(e, notifications=[notification(f"{B}/finish", 2)]),
        f"{B}/finish was told 2 times",
    ),
    "a breach is of no run": (
        lambda e: replace(e, notifications=[*e.notifications, notification(f"{EXTRA}/finish")]),
        f"{EXTRA}/finish was told of a run that was not due",
    ),
    "a change was not told": (
        lambda e: replace(e, events=[*story(A, *RAN)[::2], *story(B, *RAN)]),
        f"changes of {A} came as [1, 3]",
    ),
    "changes came in another order": (
        lambda e: replace(e, events=[*story(A, *RAN)[::-1], *story(B, *RAN)]),
        f"changes of {A} came as [3, 2, 1]",
    ),
    "the end was not told": (
        lambda e: replace(e, events=[*story(A, *RAN)[:2], *story(B, *RAN)]),
        f"{A} is SUCCESS, and the last that was told is ['RUNNING']",
    ),
    "the same attempt came twice": (
        lambda e: replace(e, deliveries=[delivery(A, 0, 1), delivery(A, 1, 2), e.deliveries[1]]),
        f"{A}: attempt 1 came twice",
    ),
    "an old attempt was let in": (
        lambda e: replace(
            e,
            deliveries=[
                delivery(A, 0, 1, attempt=2, fence=1002),
                delivery(A, 1, 2),
                e.deliveries[1],
            ],
        ),
        f"{A}: the old attempt 1 was not refused",
    ),
    "the fence of a later attempt is not higher": (
        lambda e: replace(
            e, deliveries=[delivery(A, 0, 1), delivery(A, 1, 2, attempt=2), e.deliveries[1]]
        ),
        f"{A} came with attempt 2 and fence 1001 after attempt 1 and fence 1001",
    ),
}


def test_a_good_end_is_accepted() -> None:
    """With repeats that are none: a lost answer, old attempts that were refused."""
    early = delivery(A, 0, 3, outcome="stale", effect=None)
    late = delivery(A, 2, 2, outcome="stale", effect=None)
    good = replace(
        GOOD,
        deliveries=[early, delivery(A, 0.5, 2, attempt=2, fence=1002), late, delivery(B, 2, 4)],
        notifications=[notification(f"{B}/finish", 2)],
        lost={f"{B}/finish": 1},
    )
    assert wrong(GOOD) == []
    assert wrong(good) == []


@pytest.mark.parametrize("case", BAD)
def test_each_bad_end_is_named(case: str) -> None:
    """Whatever is wrong is said in a sentence of its own."""
    spoil, sentence = BAD[case]
    assert sentence in wrong(spoil(GOOD))
