"""Which traces are recorded, and that plugins are told the same."""

from collections.abc import Iterator

import pytest

from domain.trace import header, trace_id
from shared import tracing
from shared.tracing import RequestTrace

TRACES = [trace_id(f"run/acme/t/manual/{number}", "x") for number in range(200)]
SPAN = "b7ad6b7169203331"


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Tracing to an endpoint where nobody listens; the test says of what."""
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    yield monkeypatch
    tracing.close(0.1)


def test_without_tracing_it_is_left_to_others() -> None:
    """A platform that traces its plugins does so although the scheduler has no endpoint."""
    assert all(map(tracing.is_sampled, TRACES))
    assert tracing.parent_header(TRACES[0], SPAN).endswith("-01")
    assert tracing.interceptors() == []


def test_a_ratio_is_of_traces_and_the_same_in_every_process(sampling: pytest.MonkeyPatch) -> None:
    """By the trace id: a run whose worker records it is recorded by the API and the plugin too."""
    sampling.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    sampling.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    tracing.configure("a")
    first = list(map(tracing.is_sampled, TRACES))
    headers = [tracing.parent_header(trace, SPAN)[-2:] == "01" for trace in TRACES]
    tracing.close(0.1)
    tracing.configure("b")
    assert list(map(tracing.is_sampled, TRACES)) == first == headers
    assert 50 < sum(first) < 150


def test_a_request_is_recorded_as_its_sender_says(sampling: pytest.MonkeyPatch) -> None:
    """Two such headers, or none that is valid, say nothing."""
    sampling.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing.configure("a")
    trace = TRACES[0]
    told = RequestTrace.of([header(trace, SPAN)])
    assert (told.own.trace, told.own.sampled) == (trace, True)
    assert not RequestTrace.of([header(trace, SPAN, sampled=False)]).own.sampled
    for said in ([], ["nothing"], [header(trace, SPAN)] * 2):
        alone = RequestTrace.of(said)
        assert alone.sender is None
        assert alone.own.trace != trace
        assert not alone.own.sampled


def test_what_cannot_be_told_of_raises_nothing(sampling: pytest.MonkeyPatch) -> None:
    """A run must not fail because of its trace."""
    tracing.configure("a")
    spans = tracing.spans()
    assert spans is not None
    broken = RequestTrace.of([]).own
    object.__setattr__(broken, "trace", "no id")
    from shared.spans import Span  # noqa: PLC0415 - as the product loads it

    spans.tell(Span("x", broken, None, 0, 0))
