"""CloudEvents in all their forms, spoiled: an event that can be told on, or a refusal."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.document import parse_json
from domain.events_in import (
    MAX_EVENT_BYTES,
    CloudEvent,
    parse_batch,
    parse_binary,
    parse_structured,
)
from domain.executions import ExecutionReport
from domain.filters import FilterFailed, Seen, compile_filter
from domain.problems import InvalidInput
from domain.run import EventFire, brief_of
from starter.api.problems import HttpRefusal, answer_of, refusal_of
from starter.api.routes.reports import report_in
from starter.nats.reading import read_event
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import ODD_VALUES, spoiled, spoiled_bytes, warped

_SECONDS = 2.0
"""Of the processor for one event of 64 KiB at most."""

_MEDIA_TYPES = st.sampled_from(
    (
        *("application/json", "text/plain", "text/plain; charset=utf-8", "application/xml", "a/b"),
        *("application/vnd.x+json; v=1", 'text/plain; charset="latin-1"', "image/png", "text/csv;"),
        *("text/plain; charset=utf-16", "text/plain; charset=utf-7", "text/plain; charset=idna"),
        *("text/plain; charset=punycode", "text/plain; charset=unicode_escape", "text/*"),
        *("text/plain; charset=undefined", "text/plain; charset=zip", "text/plain; charset=.."),
    )
)
_TIMES = st.sampled_from(
    (
        *(
            "2027-01-01T02:00:00Z",
            "2027-01-01t02:00:00.123456789+23:59",
            "9999-12-31T23:59:59-12:00",
        ),
        *("0001-01-01T00:00:00+12:00", "2026-12-31T23:59:60Z", "2027-02-30T00:00:00Z", "2027"),
    )
)
_SOURCES = st.sampled_from(("/shop", "https://a.example/b?c=%20#d", "urn:x:1", "a", "%zz", "//"))
_IDS = st.sampled_from(("1", "e-1", "\u00fc", "x" * 300, "a b", '"', "%41", "\\"))
_DATA = st.sampled_from(
    (None, {}, {"amount": 150, "tags": ["a"]}, [1, 2.5], "text", 7, True, "x" * 70_000)
)
_EXTENSIONS = st.dictionaries(
    st.sampled_from(
        ("traceparent", "partition", "x", "a1", "Bad", "with-dash", "y" * 64, "data_base64")
    ),
    st.sampled_from(("v", "", 7, -1, 2**31, True, "AAAA", "\u00e9", 0.5)),
    max_size=2,
)
_EVENTS = st.builds(
    lambda said, extensions: extensions | said,
    st.fixed_dictionaries(
        {
            "specversion": st.sampled_from(("1.0", "1.0", "1.0", "0.3", "1.1")),
            "id": _IDS,
            "source": _SOURCES,
            "type": st.sampled_from(("order.created", "task.execution.updated", "t" * 257)),
        },
        optional={
            "subject": _IDS,
            "time": _TIMES,
            "datacontenttype": _MEDIA_TYPES,
            "dataschema": _SOURCES,
            "data": _DATA,
        },
    ),
    _EXTENSIONS,
)
_WORDS = (
    '"specversion":"1.0"',
    '"data":',
    '"data_base64":"AA=="',
    "\\u0000",
    '"id":"2",',
    "[",
    "]",
)
_TEXTS = st.one_of(
    _EVENTS.map(json.dumps),
    st.lists(_EVENTS, max_size=3).map(json.dumps),
    warped(_EVENTS).map(json.dumps),
)


def _told(refusal: InvalidInput) -> None:
    """The API can answer it: an answer is JSON in UTF-8, and a line of each log."""
    assert refusal.problems
    assert all(problem.message and len(problem.message) < 1000 for problem in refusal.problems)
    found = refusal_of(refusal)
    assert isinstance(found, HttpRefusal)
    assert found.status == 422
    assert json.loads(bytes(answer_of(found, "1").body))["errors"]
    str(refusal).encode()


def _tried(read: Callable[[], Any]) -> Any:
    """What is read, None when it is refused; nothing else comes of it, and soon."""
    with within(_SECONDS):
        try:
            return read()
        except InvalidInput as refusal:
            _told(refusal)
            return None


def _can_be_told_on(event: CloudEvent) -> None:
    """As JSON it is an equal event and small enough; runs, filters and lists can have it."""
    told = event.as_json()
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    assert len(text.encode()) <= MAX_EVENT_BYTES
    assert parse_structured(parse_json(text).data) == event
    fire = EventFire(at=datetime(2027, 1, 1, tzinfo=UTC), event=told, debounce=timedelta(seconds=1))
    assert EventFire.model_validate_json(fire.model_dump_json()) == fire
    assert brief_of(fire).type == event.type[:200]
    try:
        _FILTER.matches(Seen(event))
    except FilterFailed as failure:
        is_told(failure)


_FILTER = compile_filter("data.amount > 100 && subject != 'a' && time > timestamp(0)")


@effort(60)
@given(data=warped(_EVENTS))
def test_a_structured_event_is_read_or_refused(data: Any) -> None:
    """Any JSON object that is nearly an event."""
    if event := _tried(lambda: parse_structured(data)):
        _can_be_told_on(event)


@effort(24)
@given(data=warped(st.lists(_EVENTS, max_size=3)))
def test_a_batch_is_read_whole_or_refused(data: Any) -> None:
    """Several at once, and what is no list at all."""
    for event in _tried(lambda: parse_batch(data)) or ():
        _can_be_told_on(event)


@effort(48)
@given(body=spoiled_bytes(_TEXTS, _WORDS))
def test_the_bytes_of_an_event_are_read_or_refused(body: bytes) -> None:
    """What comes in by HTTP: bytes in whatever encoding, one event, several, or none."""
    data = _tried(lambda: parse_json(body).data)
    if isinstance(data, list):
        events = _tried(lambda: parse_batch(data)) or []
    else:
        event = _tried(lambda: parse_structured(data))
        events = [event] if event else []
    for event in events:
        _can_be_told_on(event)


_HEADER_NAMES = st.sampled_from(
    (
        *(
            "ce-id",
            "ce-source",
            "ce-type",
            "ce-specversion",
            "CE-Id",
            "ce-time",
            "ce-subject",
            "ce-",
        ),
        *("ce-data", "ce-data_base64", "ce-dataschema", "ce-datacontenttype", "ce-x", "ce-\u00e9"),
        *("content-type", "Content-Type", "x-other", "ce-traceparent"),
    )
)
_HEADER_VALUES = st.one_of(
    *(_MEDIA_TYPES, _IDS, _TIMES, _SOURCES),
    st.sampled_from(("1.0", '"quoted \\" text"', "%F0%9F%98%80", "%FF", "%", "%00", " a ", '"%41')),
)
_HEADERS = st.builds(
    lambda least, more: least | more,
    st.just({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "t"}),
    st.dictionaries(_HEADER_NAMES, spoiled(_HEADER_VALUES), max_size=4),
)
_BODIES = st.one_of(
    spoiled_bytes(_DATA.map(json.dumps)), st.binary(max_size=40), st.just(b"-" + b"b9cd" * 10_000)
)


@effort(72)
@given(headers=_HEADERS, body=_BODIES)
def test_headers_and_a_body_are_read_or_refused(headers: dict[str, str], body: bytes) -> None:
    """The binary form: quotes, percents and charsets of all kinds."""
    if event := _tried(lambda: parse_binary(headers, body)):
        _can_be_told_on(event)


@effort(36)
@given(
    headers=_HEADERS | st.just({}) | st.fixed_dictionaries({"content-type": _MEDIA_TYPES}),
    body=_BODIES | spoiled_bytes(_TEXTS, _WORDS),
)
def test_a_message_is_one_event_or_refused(headers: dict[str, str], body: bytes) -> None:
    """What comes in by NATS."""
    if event := _tried(lambda: read_event(headers, body)):
        _can_be_told_on(event)


_REPORTS = st.fixed_dictionaries(
    {
        "type": st.just("task.execution.updated"),
        "data": st.fixed_dictionaries(
            {
                "run_id": st.sampled_from(
                    ("run/acme/a-2026-11-23T02:00:00Z", "run/acme/a/manual/\u00fc")
                ),
                "attempt": st.integers(-1, 3),
                "nonce": st.sampled_from(("a" * 32, "")),
                "sequence": st.sampled_from((0, 1, 2**53, 2**53 + 1)),
                "status": st.sampled_from(("RUNNING", "SUCCESS", "FAILED", "QUEUED")),
            },
            optional={
                **dict.fromkeys(("progress", "result"), ODD_VALUES),
                "error_code": st.sampled_from(("BUSY", "", "x" * 129, None)),
                "message": st.sampled_from(("no", "\u00fc", "x" * 4001)),
                "retryable": st.booleans(),
            },
        ),
    }
)


@effort(36)
@given(body=spoiled_bytes(warped(_REPORTS).map(json.dumps)))
def test_a_report_is_read_or_refused(body: bytes) -> None:
    """What plugins tell of executions that they accepted: kept as it is, or nothing of it."""
    report = _tried(lambda: report_in(parse_json(body).data))
    if report:
        assert ExecutionReport.model_validate_json(report.model_dump_json()) == report
