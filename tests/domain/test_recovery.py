"""What follows on a failed attempt: a table for each rule, and what holds whatever happens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.recovery import (
    LEAST_WAIT,
    LONG_BACKOFF,
    LONGEST_RETRY_AFTER,
    MOST_REASON,
    Failure,
    GiveUp,
    Recovery,
    RetryAt,
    decide,
    delay_after,
    is_short,
    read_details,
)
from domain.run import AttemptDetails
from domain.task import Retry
from tests.conftest import task_of

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
_S = timedelta(seconds=1)


def _retry(**fields: Any) -> Retry:
    said = {
        "max_attempts": 3,
        "initial_interval": "5s",
        "backoff": 2.0,
        "max_interval": "5m",
        "non_retryable": ["INVALID_PARAMS"],
    }
    return Retry.model_validate(said | fields)


def _failure(attempt: int = 1, code: str = "BUSY", **fields: Any) -> Failure:
    return Failure(attempt, code, f"it said {code}", **fields)


seconds = st.floats(0.1, 100_000, allow_nan=False).map(lambda s: timedelta(seconds=s))
retries = st.builds(
    Retry,
    max_attempts=st.integers(1, 100),
    initial_interval=seconds,
    backoff=st.floats(1.0, 100.0),
    max_interval=seconds,
    non_retryable=st.just(["INVALID_PARAMS"]),
)
failures = st.builds(
    Failure,
    attempt=st.integers(1, 100),
    code=st.sampled_from(["BUSY", "PLUGIN_TIMEOUT", "INVALID_PARAMS"]),
    message=st.just("it failed"),
    retryable=st.booleans(),
    retry_after=st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=2)),
    waits=st.booleans(),
    retries=st.booleans(),
)
deadlines = st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=1)).map(NOW.__add__)


@pytest.mark.parametrize(
    ("fields", "attempt", "wait"),
    [
        ({}, 1, 5),
        ({}, 2, 10),
        ({}, 3, 20),
        ({}, 7, 300),
        ({}, 100, 300),
        ({"backoff": 1.0}, 50, 5),
        ({"backoff": 100.0}, 2, 300),
        ({"initial_interval": "10m"}, 1, 300),
    ],
)
def test_a_back_off_grows_up_to_its_limit(fields: dict[str, Any], attempt: int, wait: int) -> None:
    """The first interval, times the back-off for each attempt, and never more than the limit."""
    assert delay_after(_failure(attempt), _retry(**fields)) == wait * _S


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        (timedelta(0), LEAST_WAIT),
        (timedelta(milliseconds=250), timedelta(milliseconds=250)),
        (2 * _S, 2 * _S),
        (timedelta(minutes=20), timedelta(minutes=20)),
        (timedelta(days=1), LONGEST_RETRY_AFTER),
    ],
)
def test_a_plugin_may_name_the_time_itself(asked: timedelta, wait: timedelta) -> None:
    """`Retry-After` is honoured, below the policy's limit and above it, within reason."""
    found = decide(_failure(retry_after=asked), _retry(), now=NOW)
    assert found == RetryAt(NOW + wait, 2, wait >= LONG_BACKOFF)


@pytest.mark.parametrize(
    ("failure", "fields", "why"),
    [
        (_failure(retries=False), {}, "the feature flag task-retry-queue is off"),
        (_failure(retryable=False), {}, "BUSY is not retryable"),
        (_failure(code="INVALID_PARAMS"), {}, "INVALID_PARAMS is not retryable"),
        (_failure(3), {}, "all 3 attempts failed"),
        (_failure(4), {}, "all 3 attempts failed"),
        (_failure(1), {"max_attempts": 1}, "its only attempt failed"),
    ],
)
def test_a_run_gives_up_for_a_reason(failure: Failure, fields: dict[str, Any], why: str) -> None:
    """The reason is the first rule that forbids another attempt."""
    assert decide(failure, _retry(**fields), now=NOW) == GiveUp(why)


def test_an_open_circuit_is_waited_for_and_is_no_attempt() -> None:
    """The number stays, whatever the attempts and flags say, until patience is at its end."""
    failure = _failure(3, "PLUGIN_CIRCUIT_OPEN", waits=True, retries=False, retry_after=20 * _S)
    patience = NOW + 25 * _S
    assert decide(failure, _retry(), now=NOW, patience=patience) == RetryAt(NOW + 20 * _S, 3, False)
    later = NOW + 20 * _S
    assert decide(failure, _retry(), now=later, patience=patience) == RetryAt(patience, 3, False)
    given_up = decide(failure, _retry(), now=patience, patience=patience)
    assert given_up == GiveUp("the plugin's circuit stayed open for too long")


def test_a_circuit_that_names_no_time_is_asked_about_soon() -> None:
    """Never at once: that would be a loop without a pause."""
    found = decide(_failure(waits=True), _retry(), now=NOW)
    assert found == RetryAt(NOW + LEAST_WAIT, 1, False)


@pytest.mark.parametrize(
    ("left", "late"), [(4, "1s after its finish deadline"), (5, None), (6, None)]
)
def test_an_attempt_past_the_deadline_says_so(left: int, late: str | None) -> None:
    """A next attempt at the deadline is in time, and one after it says by how much."""
    found = decide(_failure(), _retry(), now=NOW, finish_by=NOW + left * _S)
    assert isinstance(found, RetryAt)
    assert found.late == late


@pytest.mark.parametrize(("less", "gives"), [(timedelta(microseconds=1), False), (0 * _S, True)])
def test_a_long_wait_keeps_nothing_from_others(less: timedelta, *, gives: bool) -> None:
    """Exactly from `LONG_BACKOFF` on."""
    found = decide(_failure(retry_after=LONG_BACKOFF - less), _retry(), now=NOW)
    assert isinstance(found, RetryAt)
    assert found.gives_back is gives


def _found(
    failure: Failure, retry: Retry, finish_by: datetime | None, patience: datetime | None
) -> Recovery:
    return decide(failure, retry, now=NOW, finish_by=finish_by, patience=patience)


@given(failures, retries, deadlines, deadlines)
@example(_failure(1, retry_after=timedelta(days=-1)), _retry(), None, None)
def test_a_wait_is_never_negative_and_never_longer_than_allowed(
    failure: Failure, retry: Retry, finish_by: datetime | None, patience: datetime | None
) -> None:
    """Only `Retry-After` exceeds the policy's limit; nothing exceeds an hour that is not said."""
    match _found(failure, retry, finish_by, patience):
        case RetryAt(at=at) if failure.waits:
            assert NOW < at <= (patience or at)
        case RetryAt(at=at) if failure.retry_after is not None:
            assert LEAST_WAIT <= at - NOW <= LONGEST_RETRY_AFTER
        case RetryAt(at=at):
            assert NOW < at <= NOW + retry.max_interval


@given(failures, retries, deadlines, deadlines)
def test_what_may_not_be_retried_is_not(
    failure: Failure, retry: Retry, finish_by: datetime | None, patience: datetime | None
) -> None:
    """No attempt beyond the last, none after a final failure, and none with the flag off."""
    found = _found(failure, retry, finish_by, patience)
    if failure.waits:
        assert isinstance(found, GiveUp) is (patience is not None and patience <= NOW)
        assert isinstance(found, GiveUp) or found.attempt == failure.attempt
        return
    final = (
        not failure.retries
        or not failure.retryable
        or failure.code in retry.non_retryable
        or failure.attempt >= retry.max_attempts
    )
    assert isinstance(found, GiveUp) is final
    if isinstance(found, RetryAt):
        assert failure.attempt + 1 == found.attempt <= retry.max_attempts


@given(failures, retries, deadlines, deadlines)
def test_what_a_wait_says_of_itself_is_so(
    failure: Failure, retry: Retry, finish_by: datetime | None, patience: datetime | None
) -> None:
    """Late exactly past the deadline, and long exactly from `LONG_BACKOFF` on."""
    found = _found(failure, retry, finish_by, patience)
    if isinstance(found, RetryAt):
        assert (found.late is not None) is (finish_by is not None and found.at > finish_by)
        assert found.gives_back is (found.at - NOW >= LONG_BACKOFF)


@given(retries, st.integers(1, 99))
def test_waits_do_not_shrink(retry: Retry, attempt: int) -> None:
    """Each is at least as long as the one before."""
    assert delay_after(_failure(attempt), retry) <= delay_after(_failure(attempt + 1), retry)


@pytest.mark.parametrize(
    ("details", "found"),
    [
        ([{"attempt": 2}], AttemptDetails(attempt=2)),
        (
            [{"attempt": 2, "waits": True, "retry_after_s": 3.5, "retries": False}, "more"],
            AttemptDetails(attempt=2, waits=True, retry_after_s=3.5, retries=False),
        ),
        ([], None),
        (["no mapping", 3], None),
        ([{"attempts": 2}], None),
        ([{"attempt": "two"}], None),
        (None, None),
    ],
)
def test_only_our_own_details_are_read(details: Any, found: AttemptDetails | None) -> None:
    """Whatever another error carries is not ours."""
    assert read_details(details) == found


def test_evidence_tells_one_attempt_in_few_words() -> None:
    """A work order shows what failed and when, and no plugin fills its page."""
    found = Failure(2, "BUSY", "x" * 10_000).evidence(NOW, compensation=True)
    assert (found.attempt, found.at, found.error_code, found.compensation) == (2, NOW, "BUSY", True)
    assert len(found.message) == MOST_REASON


@pytest.mark.parametrize(
    ("fields", "short"),
    [
        ({"timeout": "5s"}, True),
        ({"timeout": "5s", "overlap": "allow"}, True),
        ({"timeout": "6s"}, False),
        ({"timeout": "5s", "mutex": ["m"]}, False),
        ({"timeout": "5s", "overlap": "queue"}, False),
        ({"timeout": "5s", "overlap": "cancel_running"}, False),
    ],
)
def test_only_what_excludes_nobody_is_called_at_once(
    fields: dict[str, Any], *, short: bool
) -> None:
    """A short call may come twice with one fence, so nothing exclusive may hang on it."""
    assert is_short(task_of(**fields)) is short
