"""Whatever else is read from text or bytes: files of tokens and keys, signatures, packed states."""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from domain import ids
from domain.admission import Ledger
from domain.breaker import Circuit, pack_circuit, unpack_circuit
from domain.decisions import Request
from domain.document import parse_json, parse_yaml
from domain.duration import format_duration, parse_duration
from domain.ledger_state import pack_ledger, unpack_ledger
from domain.limits import Demand, TenantLimits
from domain.packing import pack, unpack
from domain.problems import InvalidInput
from domain.registry import pack_task, unpack_task
from domain.sinks import read_sinks
from domain.task import Overlap
from domain.trace import parse_traceparent
from shared.codec import CannotDecrypt, EncryptionCodec
from shared.codec_keys import Key, KeyRing, load_keys
from shared.tokens import Tokens, new_token
from shared.webhooks import PREFIX, BadSignature, Secret, parse_secrets, sign, verify
from tests.conftest import task_of
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import spoiled, spoiled_bytes, warped

_NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


def _refused(read: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What is read, None when it is refused with one of these."""
    with within(2):
        try:
            return read()
        except errors as error:
            _says_why(error)
    return None


def _says_why(error: Exception) -> None:
    if isinstance(error, InvalidInput):
        assert error.problems
    assert str(error)


_DURATIONS = st.lists(
    st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from(("d", "h", "m", "s", "ms"))),
    min_size=1,
    max_size=3,
).map("".join)


@effort(120)
@given(text=spoiled(_DURATIONS, ("d", "h", "ms", "s", "1d", "0")))
def test_a_duration_is_refused_or_written_again(text: str) -> None:
    """What is read is written so that it is read again, and is never longer than ten years."""
    found = _refused(lambda: parse_duration(text), ValueError)
    if found is not None:
        assert timedelta(0) <= found <= timedelta(days=3660)
        assert parse_duration(format_duration(found)) == found


_TOKENS = Tokens({})
for _lives in (timedelta(days=1), timedelta.max):
    _token, _shown = new_token("acme", ["runs:read"], now=_NOW, lives=_lives)
    _TOKENS = _TOKENS.with_token(_token)
_TOKEN_FILES = warped(st.just(json.loads(_TOKENS.text()))).map(json.dumps)


@effort(48)
@given(text=spoiled(_TOKEN_FILES, ('"scopes":["admin"]', '"tenant_id":null', "{}")))
def test_a_file_of_tokens_is_refused_or_written_again(text: str) -> None:
    """And a token that was not shown to anybody is not found in it."""
    found = _refused(lambda: Tokens.parse(text), InvalidInput)
    if found is not None:
        assert Tokens.parse(found.text()) == found
        assert found.find(_shown[:-1] + ("0" if _shown[-1] != "0" else "1")) is None
        for token in found.by_id.values():
            assert token.state(_NOW)
            json.dumps(token.as_json(_NOW), ensure_ascii=False).encode()


_RING = KeyRing((Key("k1", b"1" * 32), Key("k2", b"2" * 32)))
_OTHERS = KeyRing((Key("k3", b"3" * 32),))


@effort(48)
@given(body=spoiled_bytes(st.just(_RING.text()), ("plain\n", "k3 ", "#", "k1")))
def test_a_file_of_keys_is_refused_or_written_again(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    """Keys keep their order, and each of them its 32 bytes."""
    path = tmp_path_factory.getbasetemp() / "keys"
    path.write_bytes(body)
    found = _refused(lambda: load_keys(path), InvalidInput)
    if found:
        again = Path(f"{path}-again")
        again.write_text(found.text())
        assert load_keys(again) == found
        assert found.encrypts is None or len(found.encrypts.secret) == 32


_PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"a": 1}')
[_SEALED] = asyncio.run(EncryptionCodec(_RING).encode([_PLAIN]))


@effort(60)
@given(data=st.data())
def test_a_changed_payload_does_not_open(data: st.DataObject) -> None:
    """Data, key id and version are bound together: what opens is what was encrypted."""
    codec, sealed = EncryptionCodec(_RING), _SEALED
    name = data.draw(st.sampled_from((*sorted(sealed.metadata), "data", "other")))
    content = sealed.data if name == "data" else sealed.metadata.get(name, b"")
    spoil = spoiled(st.just(content.decode("latin-1")), ("k2", "1", "binary/encrypted"))
    changed = data.draw(spoil).encode("latin-1", "replace")
    if name == "data":
        made = Payload(metadata=sealed.metadata, data=changed)
    else:
        made = Payload(metadata={**sealed.metadata, name: changed}, data=sealed.data)
    found = _refused(lambda: asyncio.run(codec.decode([made])), CannotDecrypt)
    if found is not None:
        assert found == [_PLAIN] or (name == "encoding" and found == [made])
    assert (
        _refused(lambda: asyncio.run(EncryptionCodec(_OTHERS).decode([sealed])), CannotDecrypt)
        is None
    )


_SECRET = Secret(b"s" * 32)
_SIGNED = sign([_SECRET, Secret(b"o" * 32)], "msg_1", b"{}", now=_NOW)
_SHOWN_SECRET = PREFIX + base64.b64encode(_SECRET.key).decode()


@effort(90)
@given(data=st.data())
def test_a_changed_signature_is_refused(data: st.DataObject) -> None:
    """Whatever the headers hold: nothing but what was signed is believed."""
    name = data.draw(st.sampled_from(sorted(_SIGNED)))
    value = data.draw(spoiled(st.just(_SIGNED[name]), ("v1,", "v1a,", " ", "1", ".")))
    headers = {**_SIGNED, name.upper() if data.draw(st.booleans()) else name: value}
    body = data.draw(st.sampled_from((b"{}", b"{}", b"{} ", b"")))
    found = _refused(lambda: verify([_SECRET], headers, body, now=_NOW), BadSignature)
    if found is not None:
        assert (found, body) == ("msg_1", b"{}")


@effort(48)
@given(text=spoiled(st.sampled_from((_SHOWN_SECRET, f"{_SHOWN_SECRET}\n{_SHOWN_SECRET}"))))
def test_secrets_are_refused_without_being_shown(text: str) -> None:
    """A file that is wrong says so, and not what stands in it."""
    try:
        found: Sequence[Secret] = parse_secrets(text)
    except ValueError as error:
        is_told(error)
        _shows_none(error)
        return
    assert all(24 <= len(secret.key) <= 64 for secret in found)


def _shows_none(error: Exception) -> None:
    assert base64.b64encode(_SECRET.key).decode()[:8] not in str(error)


_DEMAND = Demand("t", (("concurrent", 1), ("mutex:a", 1), ("overlap:t", 1)), Overlap.QUEUE)
_LEDGER = Ledger(TenantLimits(max_concurrent=1, resources={"gpu": 2}))
_LEDGER.decide_all([Request(f"r{n}", _DEMAND, 10.0 + n, 30.0 + n) for n in range(3)], 20.0)
_CIRCUIT = Circuit("p", since=1.0, heard_at=1.0, changed_at=1.0)
_PACKED: tuple[tuple[str, Callable[[str], Any], Callable[[Any], str]], ...] = (
    (pack_ledger(_LEDGER), unpack_ledger, pack_ledger),
    (pack_circuit(_CIRCUIT), unpack_circuit, pack_circuit),
    (pack_task(task_of()), unpack_task, pack_task),
)


@effort(48)
@given(which=st.sampled_from(_PACKED), data=st.data())
def test_a_packed_state_is_refused_or_packed_again(
    which: tuple[str, Callable[[str], Any], Callable[[Any], str]], data: st.DataObject
) -> None:
    """Spoiled outside or inside: a state that can be told on, or a `ValueError`."""
    packed, read, write = which
    if data.draw(st.booleans()):
        text = data.draw(spoiled(st.just(packed)))
    else:
        inside = json.loads(unpack(packed))
        text = pack(data.draw(warped(st.just(inside)).map(json.dumps)))
    found = _refused(lambda: read(text), ValueError)
    if found is not None:
        assert write(read(write(found))) == write(found)


_SINKS = st.just(
    {
        "sinks": [
            {
                "name": "a",
                "url": "https://a.example/x",
                "secret_file": "/etc/x",
                "tenants": ["acme"],
            }
        ]
    }
)


@effort(36)
@given(value=warped(_SINKS))
def test_a_file_of_sinks_is_refused_or_read(value: Any) -> None:
    """Every problem at once, and no other error."""
    _refused(lambda: read_sinks(parse_yaml(json.dumps(value))), InvalidInput)


_IDS = st.sampled_from(
    (
        *("run/acme/a-2026-11-23T02:00:00Z", "run/acme/a/manual/x", f"run/acme/a/event/{'0' * 32}"),
        *("task/acme/a", "registry/acme/3", "rollup/acme/2026-11/0", "rollups/2026-11"),
        *("governor/acme", "work-order/run/acme/a/manual/x"),
    )
)


@effort(90)
@given(text=spoiled(_IDS, ("/", "-", "2026-13-01T00:00:00Z", "acme", "/manual/")))
def test_an_id_is_one_of_ours_or_none(text: str) -> None:
    """What is read out of an id makes the same id again."""
    with within(1):
        run, schedule = ids.parse_run_id(text), ids.parse_schedule_id(text)
        registry, rollup = ids.parse_registry_id(text), ids.parse_rollup_id(text)
        tenant, marks = ids.parse_governor_id(text), ids.parse_rollup_marks_id(text)
    if run and run.scheduled_time:
        assert ids.scheduled_run_id(run.tenant_id, run.task_id, run.scheduled_time) == text
    elif run and run.key and "/manual/" in text:
        assert ids.manual_run_id(run.tenant_id, run.task_id, run.key) == text
    assert schedule is None or ids.schedule_id(*schedule) == text
    assert registry is None or ids.parse_registry_id(ids.registry_id(*registry)) == registry
    assert rollup is None or ids.parse_rollup_id(ids.rollup_id(*rollup)) == rollup
    assert tenant is None or ids.governor_id(tenant) == text
    assert marks is None or ids.parse_rollup_marks_id(ids.rollup_marks_id(marks)) == marks


_PARENT = st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@effort(60)
@given(text=spoiled(_PARENT, ("00", "-", "ff-", "A")))
def test_a_trace_header_is_read_or_passed_over(text: str) -> None:
    """A foreign header never breaks a request."""
    with within(1):
        parse_traceparent(text)


_JSON_WORDS = (
    "NaN",
    "Infinity",
    "\\ud800",
    "\\u0000",
    '"a":1,',
    "[" * 40,
    "1e999",
    "-",
    "9" * 5000,
)
_JSON = st.sampled_from(
    ('{"a": [1, 2.5, null, true, "x"], "b": {"c": "\\u00e9"}}', "[[]]", "0", '""')
)


@effort(90)
@given(body=spoiled_bytes(_JSON, _JSON_WORDS))
def test_json_is_refused_or_strict(body: bytes) -> None:
    """What is taken says the same to every other reader, and is written again as strict JSON."""
    found = _refused(lambda: parse_json(body), InvalidInput)
    if found is not None:
        text = json.dumps(found.data, ensure_ascii=False, allow_nan=False)
        assert parse_json(text.encode()).data == found.data
        assert "\\u0000" not in json.dumps(found.data)
