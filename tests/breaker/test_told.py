"""What a process tells a breaker and when, and which of two things that it hears it believes."""

from domain.outcomes import CircuitBrief, CircuitState, ProbeEnd
from shared.plugin_calls import ALARM_SECONDS, CALM_SECONDS, MOST_OUTCOMES, PluginCalls

T = 1_795_000_000.0
CODE = "PLUGIN_TIMEOUT"


def circuit(
    state: CircuitState, changed_at: float, *, retry_at: float | None = None, until: float = 0.0
) -> CircuitBrief:
    """What a breaker says."""
    return CircuitBrief(
        plugin_id="p",
        state=state,
        since=T,
        changed_at=changed_at,
        retry_at=retry_at,
        counting_until=until,
    )


def test_successes_alone_are_never_due() -> None:
    """However many there are."""
    calls = PluginCalls()
    for n in range(1000):
        calls.note("a", None, T + n)
        assert calls.due_at(T + n) is None
    assert len(calls.counts) <= 13  # a minute's worth


def test_successes_are_due_while_a_breaker_counts() -> None:
    """Failures of others may open the circuit, and do not when most calls go well."""
    calls = PluginCalls()
    calls.adopt(circuit(CircuitState.CLOSED, T, until=T + 60), T)
    calls.note("a", None, T + 1)
    assert calls.due_at(T + 1) is not None
    assert calls.due_at(T + 61) is None


def test_an_alarm_goes_sooner_than_a_failure_among_many_successes() -> None:
    """Background noise costs an exchange in five seconds."""
    calm, alarm = PluginCalls(), PluginCalls()
    calm.note("a", None, T)
    calm.note("a", None, T)
    for calls in (calm, alarm):
        calls.note("a", CODE, T)
    assert calm.due_at(T) == T + CALM_SECONDS
    assert alarm.due_at(T) == T + ALARM_SECONDS


def test_a_batch_without_an_answer_is_sent_again_as_it_was() -> None:
    """Under its number; what came meanwhile goes with the next."""
    calls = PluginCalls()
    calls.note("a", CODE, T)
    first = calls.exchange("w", calls.next_batch(T), T)
    calls.note("b", CODE, T)
    calls.ended.append(ProbeEnd(key="r#1", ok=True))
    again = calls.exchange("w", calls.next_batch(T), T)
    assert again == first
    calls.batch = None
    following = calls.exchange("w", calls.next_batch(T), T)
    assert following.sequence == first.sequence + 1
    assert [outcome.tenant_id for outcome in following.outcomes] == ["b"]
    assert [probe.key for probe in following.ended] == ["r#1"]


def test_a_large_batch_is_split_and_failures_go_first() -> None:
    """A payload stays small; the rest goes next."""
    calls = PluginCalls()
    for n in range(2 * MOST_OUTCOMES):
        calls.note(f"t{n}", CODE if n % 4 == 0 else None, T)
    batch = calls.next_batch(T)
    assert len(batch.counts) == MOST_OUTCOMES
    assert sum(count.failures for count in batch.counts.values()) == MOST_OUTCOMES // 2
    assert calls.failed_at is None


def test_what_is_older_than_what_is_known_is_not_believed() -> None:
    """Temporal's list lags behind the answers of breakers."""
    calls = PluginCalls()
    assert calls.adopt(circuit(CircuitState.CLOSED, T + 5), T + 5)
    assert not calls.adopt(circuit(CircuitState.OPEN, T, retry_at=T + 10), T + 6, listed=True)
    assert calls.is_closed()
    assert calls.adopt(circuit(CircuitState.OPEN, T + 9, retry_at=T + 19), T + 9, listed=True)
    assert not calls.is_closed()
    # Of the same change, an answer knows the time to come again better than the list.
    calls.adopt(circuit(CircuitState.OPEN, T + 9, retry_at=T + 10), T + 9, listed=True)
    assert calls.circuit
    assert calls.circuit.retry_at == T + 19
