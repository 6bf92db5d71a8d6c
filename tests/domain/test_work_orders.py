"""Work orders as tables: what may be done, by when, how they escalate, and the ids of retries."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import manual_run_id, parse_run_id, scheduled_run_id
from domain.notices import Breach, BreachKind, FailedAttempt, Severity, WorkOrderSeed
from domain.work_orders import (
    ATTEMPTS_KEPT,
    DUE_AFTER,
    ESCALATES_AFTER,
    MOST_TEXT,
    ORDER_STATES,
    SEVERITIES,
    Act,
    OrderInput,
    OrderState,
    concerned,
    due_at,
    escalates_at,
    higher,
    is_closed,
    opened_by,
    origin_of,
    raised,
    refusal,
    retry_run_id,
)

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def breach(
    run_id: str = "run/acme/report-2026-11-23T02:00:00Z",
    kind: BreachKind = BreachKind.FAILED,
    *,
    at: datetime = AT,
    severity: Severity = "medium",
) -> Breach:
    """A breach of a run."""
    return Breach(
        breach_id=f"{run_id}/{kind.value.lower()}",
        kind=kind,
        tenant_id="acme",
        task_id="report",
        run_id=run_id,
        expected_by=None,
        observed_at=at,
        severity=severity,
        message="it broke",
    )


def order(kind: BreachKind = BreachKind.FAILED, attempts: int = 1) -> OrderInput:
    """What a work order is opened with."""
    failed = [
        FailedAttempt(attempt=n, at=AT, error_code="E", message="x" * 9999)
        for n in range(1, attempts + 1)
    ]
    seed = WorkOrderSeed(plugin_id="p", error_code=f"{kind}_CODE", cause=f"of {kind}")
    return OrderInput(breach=breach(kind=kind), seed=seed.model_copy(update={"attempts": failed}))


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("state", OrderState)
def test_what_a_state_does_not_allow_is_refused_in_words(state: OrderState, act: Act) -> None:
    """The words say what stands in the way; what is closed allows nothing."""
    why = refusal(act, state, owner="ann", retry="run/acme/report/manual/1")
    assert (why is None) == (act in ORDER_STATES[state].acts)
    if is_closed(state):
        assert why == f"it is {state} already, and nothing more happens to it"
    elif state is OrderState.RETRYING:
        assert "run/acme/report/manual/1" in (why or "")
    elif why:
        assert why == "it is ACKNOWLEDGED already, by ann"


def test_every_state_and_severity_is_in_its_tables() -> None:
    """And the more severe, the sooner."""
    assert set(ORDER_STATES) == set(OrderState)
    for table in (DUE_AFTER, ESCALATES_AFTER):
        assert tuple(table) == SEVERITIES
        assert sorted(table.values(), reverse=True) == list(table.values())
    assert all(ESCALATES_AFTER[one] < DUE_AFTER[one] for one in SEVERITIES)


@pytest.mark.parametrize(
    ("severity", "after", "to"),
    [
        ("low", timedelta(hours=24), "medium"),
        ("medium", timedelta(hours=4), "high"),
        ("high", timedelta(hours=1), "critical"),
        ("critical", timedelta(minutes=15), "critical"),
    ],
)
def test_it_escalates_by_one(severity: Severity, after: timedelta, to: Severity) -> None:
    """After the time of its severity; once it was told as critical it never does again."""
    assert escalates_at(severity, AT, None) == AT + after
    assert raised(severity) == to
    assert escalates_at(severity, AT, "critical") is None


def test_another_breach_adds_to_it() -> None:
    """A failure gives the cause, whatever came first; the higher severity and the earlier due."""
    late = order(BreachKind.FINISH)
    view = opened_by(late, "work-order/1")
    assert (view.cause, view.due_at) == ("of FINISH", due_at("medium", AT))
    failed = order(BreachKind.FAILED)
    severe = failed.breach.model_copy(update={"severity": "critical"})
    both = concerned(view, failed.model_copy(update={"breach": severe}))
    assert (both.cause, both.error_code) == ("of FAILED", "FAILED_CODE")
    assert (both.severity, both.due_at) == ("critical", due_at("critical", AT))
    assert concerned(both, late) is both
    assert concerned(opened_by(failed, "o"), late).cause == "of FAILED"


def test_evidence_is_bounded() -> None:
    """The last attempts stay, their messages short."""
    view = opened_by(order(attempts=ATTEMPTS_KEPT + 9), "work-order/1")
    assert len(view.attempts) == ATTEMPTS_KEPT
    assert view.attempts[-1].attempt == ATTEMPTS_KEPT + 9
    assert {len(attempt.message) for attempt in view.attempts} == {MOST_TEXT}


def test_the_id_of_a_retry_is_readable() -> None:
    """It says of which run it is, and for what."""
    assert retry_run_id("acme", "report", breach(), 2) == (
        "run/acme/report/manual/failed-retry-2/2026-11-23T02:00:00Z"
    )


@given(
    NAMES,
    NAMES,
    st.one_of(KEYS, st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))),  # noqa: DTZ001
    st.sampled_from(BreachKind),
    st.integers(1, 99),
)
def test_a_retry_names_the_run_that_it_stands_for(
    tenant_id: str, task_id: str, of: str | datetime, kind: BreachKind, number: int
) -> None:
    """Whatever kind of run that is; and the retry of a retry one step back."""
    run_id = (
        manual_run_id(tenant_id, task_id, of)
        if isinstance(of, str)
        else scheduled_run_id(tenant_id, task_id, of.replace(tzinfo=UTC))
    )
    retry = retry_run_id(tenant_id, task_id, breach(run_id, kind), number)
    found = parse_run_id(retry)
    assert found
    assert (found.tenant_id, found.task_id) == (tenant_id, task_id)
    assert origin_of(retry) == run_id
    again = retry_run_id(tenant_id, task_id, breach(retry, kind), 1)
    assert origin_of(again) == retry


@pytest.mark.parametrize(
    "run_id",
    ["run/acme/report-2026-11-23T02:00:00Z", "run/acme/report/manual/1", "governor/acme", "", "x"],
)
def test_any_other_run_stands_for_itself(run_id: str) -> None:
    """Also what is no run at all."""
    assert origin_of(run_id) == run_id


@given(st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_the_higher_of_two_is_one_of_them(one: Severity, other: Severity) -> None:
    """And none is higher than it."""
    found = higher(one, other)
    assert found in (one, other)
    assert max(map(SEVERITIES.index, (one, other))) == SEVERITIES.index(found)
