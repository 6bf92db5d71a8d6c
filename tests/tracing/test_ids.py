"""Ids of traces and spans, and the headers that carry them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.trace import (
    Parent,
    attempt_span,
    call_span,
    header,
    parse_traceparent,
    run_span,
    traceparent,
    trigger_span,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@given(trace=st.integers(1, 2**128 - 1), span=st.integers(1, 2**64 - 1), sampled=st.booleans())
def test_a_header_of_ours_reads_back(trace: int, span: int, *, sampled: bool) -> None:
    """Whatever the ids are."""
    parent = Parent(f"{trace:032x}", f"{span:016x}", sampled)
    assert parse_traceparent(header(parent.trace, parent.span, sampled=sampled)) == parent


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-bring", True),
    ],
)
def test_valid_headers_are_read(text: str, *, sampled: bool) -> None:
    """Those of later versions as far as version 00 goes, as the specification has it."""
    assert parse_traceparent(text) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_what_is_no_header_begins_a_new_trace(text: str) -> None:
    """Nobody's requests are refused for it."""
    assert parse_traceparent(text) is None


def test_spans_of_a_trace_are_told_apart() -> None:
    """Attempts, attempts to undo, calls of activities by their number and their attempt."""
    spans = [
        trigger_span(TRACE),
        run_span(TRACE),
        attempt_span(TRACE, 1),
        attempt_span(TRACE, 2),
        attempt_span(TRACE, 1, compensates=True),
        call_span(TRACE, "run/a", "1", 1),
        call_span(TRACE, "run/a", "1", 2),
        call_span(TRACE, "run/a", "2", 1),
        call_span(TRACE, "notice/a", "1", 1),
    ]
    assert len(set(spans)) == len(spans)
    assert not {attempt_span("1" * 32, 1)} & set(spans)


def test_what_happens_before_the_first_attempt_is_of_the_run() -> None:
    """An event that says PENDING names a span that there will be."""
    assert traceparent(TRACE, 0) == header(TRACE, run_span(TRACE))
    assert traceparent(TRACE, 2, sampled=False) == f"00-{TRACE}-{attempt_span(TRACE, 2)}-00"
