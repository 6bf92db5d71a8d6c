"""What a message is taken for: the NATS binding of CloudEvents, and subjects. Pure."""

import json
from typing import Any

import pytest

from domain.events_in import MAX_EVENT_BYTES
from domain.problems import InvalidInput
from shared.settings import Settings
from starter.nats.connecting import servers_of, shown
from starter.nats.reading import read_event
from starter.nats.subjects import check_names, covers, tenant_of
from tests.nats.harness import EVENT, event

BINARY = {f"ce-{name}": value for name, value in EVENT.items()}
STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/cloudevents+json; charset=utf-8"},
        {"content-type": "application/cloudevents"},
        {"content-type": "application/json"},
        {"Nats-Msg-Id": "7"},
    ],
)
def test_a_structured_event_is_known_by_its_content_type_or_by_having_no_attributes_beside_it(
    headers: dict[str, str],
) -> None:
    """Senders from before NATS had headers send no content type."""
    found = read_event(headers, event(data={"amount": 7}, subject="o/1"))
    assert (found.id, found.source, found.type) == ("1", "/shop", "order.created")
    assert (found.subject, found.data) == ("o/1", {"amount": 7})


def test_a_binary_event_has_its_attributes_in_headers_whose_values_are_percent_encoded() -> None:
    """Names in any case; the type of the data is an attribute like the others."""
    headers = {
        **BINARY,
        "Ce-Subject": "Euro%20%E2%82%AC%20%F0%9F%98%80",
        "ce-datacontenttype": "application/json",
        "ce-region": "eu",
    }
    found = read_event(headers, b'{"amount": 7}')
    assert (found.subject, found.data) == ("Euro \u20ac \U0001f600", {"amount": 7})
    assert (found.datacontenttype, found.extensions) == ("application/json", {"region": "eu"})


def test_binary_data_of_no_type_that_is_json_or_text_stays_bytes() -> None:
    """The data may be anything."""
    assert read_event(BINARY, b"\x00\xff").data_base64 == "AP8="


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({}, b"", "not valid JSON"),
        ({}, b"\xff\xfe{", "not"),
        ({}, b'"text"', "an event is a JSON object"),
        ({}, b"[]", "a batch"),
        ({}, b"[" * 100_000, "limit of an event"),
        ({}, b"[" * 50_000, "nested deeper"),
        ({}, b'{"id": "1", "id": "2"}', "stands twice"),
        ({}, json.dumps({**EVENT, "specversion": "0.3"}).encode(), "specversion: must be '1.0'"),
        ({}, json.dumps({"specversion": "1.0"}).encode(), "id: is required"),
        ({}, b'{"data": NaN, "specversion": "1.0"}', "not a JSON number"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "a batch"),
        ({"content-type": "application/cloudevents+avro"}, b"", "only JSON is read"),
        ({**BINARY, "Ce-Id": "2"}, b"", "ce-id: the header stands twice"),
        ({**BINARY, "ce-subject": "%C0%A0"}, b"", "ce-subject: is not UTF-8"),
        ({"ce-id": "1"}, b"", "ce-source: is required"),
        ({**BINARY, "ce-datacontenttype": "application/json"}, b"{", "data: "),
        (STRUCTURED | BINARY, b"data", "not valid JSON"),
        ({}, event(data="x" * MAX_EVENT_BYTES), "limit of an event"),
        (BINARY, b"x" * (MAX_EVENT_BYTES - 10), "limit of an event"),
    ],
)
def test_what_is_no_event_is_refused_with_what_is_wrong(
    headers: dict[str, str], body: bytes, message: str
) -> None:
    """Whatever anybody publishes, it is one kind of error, in words."""
    with pytest.raises(InvalidInput) as refused:
        read_event(headers, body)
    assert message in str(refused.value)


@pytest.mark.parametrize("subject", ["events.Acme", "events.a b", "events.", "events.-", "x./"])
def test_a_last_token_that_is_no_name_is_no_tenant(subject: str) -> None:
    """It never gets as far as an id."""
    with pytest.raises(InvalidInput, match="not a tenant's name"):
        tenant_of(subject)
    assert tenant_of("taskflow.events.acme") == "acme"


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a.>", False),
        ("a.b", "a.*", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a.*", True),
        ("a.>", "a", False),
        (">", "a.b", True),
    ],
)
def test_patterns_cover_as_nats_says(pattern: str, subject: str, expected: bool) -> None:
    """A stream must keep all that is consumed."""
    assert covers(pattern, subject) is expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nats_stream", "a.b", "is not a name"),
        ("nats_durable", "", "is not a name"),
        ("nats_subject", "events.>", "is not of this form"),
        ("nats_subject", "events..*", "is not of this form"),
        ("nats_subject", "events.ACME", "must end in the tenant"),
        ("nats_parked_subject", "parked.*", "is not one subject"),
        ("nats_parked_subject", "taskflow.events.parked", "what is parked would come back"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_the_names_of_their_variables(
    name: str, value: str, message: str
) -> None:
    """Before anything is asked of NATS."""
    check_names(Settings())
    fields: dict[str, Any] = {name: value}
    with pytest.raises(InvalidInput, match=message) as refused:
        check_names(Settings(**fields))
    assert str(refused.value).startswith(f"TASKFLOW_{name.upper()}: ")


def test_addresses_are_shown_without_their_passwords() -> None:
    """Neither in the log, nor where they are refused."""
    settings = Settings(nats_url="nats://ann:s3cret@one:4222, tls://two")
    assert servers_of(settings) == ["nats://ann:s3cret@one:4222", "tls://two"]
    assert shown(settings) == "nats://one:4222, tls://two"
    for url in ("ann:s3cret@one", "http://ann:s3cret@one", "nats://", "nats://one:s3cret", ""):
        with pytest.raises(InvalidInput) as refused:
            servers_of(Settings(nats_url=url))
        assert "s3cret" not in str(refused.value)
