"""Events that come in: what is read, what is refused with its place, and that nothing is lost."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events_in import (
    MAX_BATCH,
    MAX_EVENT_BYTES,
    CloudEvent,
    parse_batch,
    parse_binary,
    parse_structured,
)
from domain.problems import InvalidInput
from tests.fuzz.effort import within

_LEAST = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.created"}
_HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-source": "/shop",
    "ce-type": "order.created",
}


def refused(call: Any, *arguments: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        call(*arguments)
    return {problem.where: problem.message for problem in refusal.value.problems}


def test_a_structured_event_is_read_whole() -> None:
    """Every attribute, an extension of each kind, and data."""
    event = parse_structured(
        {
            **_LEAST,
            "subject": "orders/7",
            "time": "2027-01-01T10:00:00.25+08:00",
            "datacontenttype": "application/json",
            "dataschema": "https://shop.example/order.json",
            "partition": 7,
            "urgent": True,
            "traceparent": "00-aa-bb-01",
            "comexample": None,
            "data": {"amount": 150},
        }
    )
    assert event == CloudEvent(
        "e-1",
        "/shop",
        "order.created",
        subject="orders/7",
        time=datetime(2027, 1, 1, 2, 0, 0, 250_000, UTC),
        datacontenttype="application/json",
        dataschema="https://shop.example/order.json",
        data={"amount": 150},
        extensions={"partition": 7, "urgent": True, "traceparent": "00-aa-bb-01"},
    )
    assert event.as_json()["time"] == "2027-01-01T02:00:00.250000Z"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """One answer with every problem and its path."""
    problems = refused(
        parse_structured,
        {
            "specversion": "0.3",
            "id": "",
            "source": "/a b",
            "type": 7,
            "subject": "a\nb",
            "time": "yesterday",
            "dataschema": "order.json",
            "datacontenttype": "json",
            "Trace": "x",
            "nested": {"a": 1},
            "large": 2**31,
            "ratio": 0.5,
            "data_base64": "***",
        },
    )
    assert problems.keys() == {
        *("specversion", "id", "source", "type", "subject", "time", "dataschema"),
        *("datacontenttype", "Trace", "nested", "large", "ratio", "data_base64"),
    }
    assert problems["specversion"] == "must be '1.0', and this is '0.3'"
    assert "lower-case" in problems["Trace"]


@pytest.mark.parametrize(
    ("data", "where", "reason"),
    [
        ([], "", "an event is a JSON object, and this is a list"),
        ({}, "id", "is required"),
        ({**_LEAST, "data": 1, "data_base64": "AA=="}, "data_base64", "one of the two"),
        ({**_LEAST, "datacontenttype": "text/plain", "data": {}}, "data", "must be text"),
        ({**_LEAST, "data": "x" * MAX_EVENT_BYTES}, "", "the limit of an event is 65536"),
        ({**_LEAST, "data": {"a": "\0"}}, "data.a", "NUL"),
        ({**_LEAST, "data": float("nan")}, "data", "not a JSON number"),
        ({**_LEAST, "subject": "\ud800"}, "subject", "lone surrogate"),
        ({**_LEAST, "type": "t" * 257}, "type", "longer than 256"),
        ({**_LEAST, "time": "2027-01-01 02:00:00Z"}, "time", "is not a time"),
        ({**_LEAST, "time": "2027-02-30T02:00:00Z"}, "time", "is not a time"),
        ({**_LEAST, "time": "0001-01-01T00:00:00+23:00"}, "time", "is not a time"),
        ({**_LEAST, "source": "/100%"}, "source", "not a URI reference"),
    ],
)
def test_what_is_no_event_is_refused(data: Any, where: str, reason: str) -> None:
    """Each with the place of the mistake."""
    assert reason in refused(parse_structured, data)[where]


def test_headers_are_decoded() -> None:
    """Names in any case, percent-encoding and quotes undone; other headers are none of ours."""
    event = parse_binary(
        {
            **_HEADERS,
            "CE-Subject": "Gr%C3%BC%C3%9Fe%20%22%25%22",
            "Ce-Note": '"a \\"quoted\\" word"',
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": "Bearer x",
        },
        b'{"amount": 150}',
    )
    assert event.subject == 'Gr\u00fc\u00dfe "%"'
    assert event.extensions == {"note": 'a "quoted" word'}
    assert (event.data, event.datacontenttype) == (
        {"amount": 150},
        "application/json; charset=utf-8",
    )


@pytest.mark.parametrize(
    ("content_type", "body", "data", "encoded"),
    [
        ("application/json", b"[1]", [1], None),
        ("Application/Problem+JSON;x=1", b"[1]", [1], None),
        ("application/json", b"", None, None),
        ("text/plain", "\u00e4".encode(), "\u00e4", None),
        ('text/plain; charset="latin-1"', b"\xe4", "\u00e4", None),
        ("image/svg+xml", b"<a/>", "<a/>", None),
        ("application/octet-stream", b"\x00\xff", None, "AP8="),
        (None, b"{}", None, "e30="),
    ],
)
def test_a_body_is_what_its_content_type_says(
    content_type: str | None, body: bytes, data: Any, encoded: str | None
) -> None:
    """JSON, text, or bytes that are told on in base64."""
    headers = _HEADERS | ({"Content-Type": content_type} if content_type else {})
    event = parse_binary(headers, body)
    assert (event.data, event.data_base64) == (data, encoded)
    assert parse_structured(event.as_json()) == event


@pytest.mark.parametrize(
    ("headers", "body", "where", "reason"),
    [
        ({"ce-id": ""}, b"", "ce-id", "must not be empty"),
        ({"ce-subject": "%ff"}, b"", "ce-subject", "UTF-8"),
        ({"ce-time": "now"}, b"", "ce-time", "is not a time"),
        ({"ce-datacontenttype": "text/plain"}, b"", "ce-datacontenttype", "use Content-Type"),
        ({"ce-data": "1"}, b"", "ce-data", "use the body"),
        ({"ce-my-note": "1"}, b"", "ce-my-note", "not the name of an attribute"),
        ({"content-type": "json"}, b"1", "content-type", "is not a media type"),
        ({"content-type": "application/json"}, b'{"a":', "data", "not valid JSON"),
        ({"content-type": "application/json"}, b'{"a":1,"a":2}', "data", "stands twice"),
        ({"content-type": "application/json"}, b'{"a":NaN}', "data.a", "not a JSON number"),
        ({"content-type": "text/plain"}, b"\xff", "data", "not readable as utf-8 text"),
        ({"content-type": "text/plain; charset=klingon"}, b"a", "data", "as klingon text"),
        ({"content-type": "text/plain; charset=unicode_escape"}, b"\\q", "data", "not readable as"),
        ({"content-type": "text/plain; charset=punycode"}, b"-b9cd" * 9_000, "data", "as punycode"),
        ({"content-type": f"a/b{' ' * 60_000}!"}, b"", "content-type", "is not a media type"),
        ({"content-type": "image/png"}, b"\0" * 50_000, "", "the limit of an event"),
    ],
)
def test_what_is_wrong_with_headers_or_body_is_told(
    headers: dict[str, str], body: bytes, where: str, reason: str
) -> None:
    """The path of a header is its name. Nothing takes long."""
    with within(2):
        assert reason in refused(parse_binary, _HEADERS | headers, body)[where]


def test_headers_that_are_missing_are_told() -> None:
    """The least of an event is a version, an id, a source and a type."""
    assert refused(parse_binary, {}, b"").keys() == {
        *("ce-specversion", "ce-id", "ce-source", "ce-type"),
    }


def test_a_batch_is_read_in_its_order_and_refused_whole() -> None:
    """Problems of all events of the batch, each with the place of its event."""
    events = [{**_LEAST, "id": f"e-{number}"} for number in range(3)]
    assert [event.id for event in parse_batch(events)] == ["e-0", "e-1", "e-2"]
    assert parse_batch([]) == []
    assert refused(parse_batch, [events[0], {**_LEAST, "id": 1}, 5]).keys() == {"[1].id", "[2]"}
    assert "a JSON array" in refused(parse_batch, {})[""]
    assert f"{MAX_BATCH} at most" in refused(parse_batch, [_LEAST] * (MAX_BATCH + 1))[""]


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=10,
)
_RESERVED = {*_LEAST, *("subject", "time", "datacontenttype", "dataschema", "data")}
_NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda n: n not in _RESERVED)
_ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_FIRST, _LAST = (datetime(year, 1, 1) for year in (2, 9998))  # noqa: DTZ001 - zones are drawn
_EVENTS = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": _TEXT,
        "source": st.from_regex(r"/[a-z0-9/._~%20-]{0,20}", fullmatch=True).filter(
            lambda text: "%" not in text
        ),
        "type": _TEXT,
    },
    optional={
        "subject": _TEXT,
        "time": st.datetimes(_FIRST, _LAST, timezones=_ZONES).map(lambda at: at.isoformat()),
        "data": _JSON,
    },
)
_EXTENSIONS = st.dictionaries(
    _NAMES, _TEXT | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=3
)


@given(_EVENTS, _EXTENSIONS)
def test_what_is_read_is_told_on(said: dict[str, Any], extensions: dict[str, Any]) -> None:
    """The structured form of an event reads as an equal event, through JSON text as well."""
    event = parse_structured(said | extensions)
    told = event.as_json()
    assert parse_structured(json.loads(json.dumps(told))) == event
    same = told.keys() - {"time"}
    assert {n: told[n] for n in same} == {n: v for n, v in (said | extensions).items() if n in same}
    assert (event.data is None) == (said.get("data") is None)


@given(_EVENTS, st.dictionaries(_NAMES, _TEXT, max_size=3), st.binary(max_size=40))
def test_headers_and_body_say_what_json_says(
    said: dict[str, Any], extensions: dict[str, str], raw: bytes
) -> None:
    """One event in both forms is the same event."""
    said = {n: v for n, v in (said | extensions).items() if n != "data"}
    headers = {f"ce-{name}": quote(value, safe="") for name, value in said.items()}
    binary = parse_binary(headers | {"content-type": "application/octet-stream"}, raw)
    said["datacontenttype"] = "application/octet-stream"
    if raw:
        said["data_base64"] = base64.b64encode(raw).decode()
    assert parse_structured(said) == binary


@given(_JSON | st.dictionaries(st.sampled_from(sorted(_RESERVED)), _JSON))
def test_whatever_is_sent_is_an_event_or_refused(data: Any) -> None:
    """No value of JSON breaks the reader."""
    try:
        read = parse_structured(data).id
    except InvalidInput as error:
        read = error.problems[0].message
    assert read
