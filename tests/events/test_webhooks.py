"""Signatures: whoever has the secret is believed, whoever has not is refused with a reason."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks import (
    ID,
    SIGNATURE,
    TIMESTAMP,
    BadSignature,
    Secret,
    parse_secrets,
    sign,
    verify,
)

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
SECRET = Secret(b"k" * 24)
KEYS = st.binary(min_size=24, max_size=64)
IDS = st.text("abcXYZ0123456789_-", min_size=1, max_size=40)
TIMES = st.integers(1_500_000_000, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))


@given(KEYS, IDS, st.binary(max_size=300), TIMES, st.integers(-299, 299))
def test_what_is_signed_is_verified(
    key: bytes, message_id: str, body: bytes, at: datetime, later: int
) -> None:
    """Within five minutes, either way."""
    headers = sign([Secret(key)], message_id, body, now=at)
    there = at + timedelta(seconds=later)
    assert verify([Secret(key)], headers, body, now=there) == message_id


@pytest.mark.fault(18)
@given(KEYS, IDS, st.binary(min_size=1, max_size=300), st.data())
def test_what_is_changed_is_refused(
    key: bytes, message_id: str, body: bytes, data: st.DataObject
) -> None:
    """A bit of the body, the id, the time, the signature or the key."""
    headers = sign([Secret(key)], message_id, body, now=NOW)
    secret = Secret(key)
    match data.draw(st.sampled_from(["body", "id", "time", "signature", "key"])):
        case "body":
            at = data.draw(st.integers(0, len(body) * 8 - 1))
            flipped = bytearray(body)
            flipped[at // 8] ^= 1 << (at % 8)
            body = bytes(flipped)
        case "id":
            headers[ID] += "x"
        case "time":
            headers[TIMESTAMP] = str(int(headers[TIMESTAMP]) + 1)
        case "signature":
            raw = bytearray(base64.b64decode(headers[SIGNATURE].removeprefix("v1,")))
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1
            headers[SIGNATURE] = f"v1,{base64.b64encode(raw).decode()}"
        case "key":
            secret = Secret(bytes([key[0] ^ 1]) + key[1:])
    with pytest.raises(BadSignature, match="no signature is right"):
        verify([secret], headers, body, now=NOW)


def test_the_signature_is_that_of_the_standard() -> None:
    """A known secret, id, time and body, signed by another implementation."""
    secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', now=at)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_either_side_may_have_several_secrets() -> None:
    """A secret is replaced without a moment in which nothing is right."""
    old, new, other = Secret(b"o" * 24), Secret(b"n" * 24), Secret(b"x" * 24)
    both = sign([new, old], "msg_1", b"{}", now=NOW)
    for known in ([old], [new], [other, old]):
        assert verify(known, both, b"{}", now=NOW) == "msg_1"
    assert verify([new, old], sign([old], "msg_1", b"{}", now=NOW), b"{}", now=NOW) == "msg_1"
    with pytest.raises(BadSignature):
        verify([other], both, b"{}", now=NOW)
    with pytest.raises(BadSignature):
        verify([], both, b"{}", now=NOW)


@pytest.mark.fault(18)
@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_an_old_request_is_refused(seconds: int) -> None:
    """And one of the future: somebody may have kept it."""
    headers = sign([SECRET], "msg_1", b"{}", now=NOW)
    with pytest.raises(BadSignature, match="300 s"):
        verify([SECRET], headers, b"{}", now=NOW + timedelta(seconds=seconds))


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        (ID, None),
        (ID, ""),
        (ID, "msg.1"),
        (TIMESTAMP, None),
        (TIMESTAMP, "1e9"),
        (TIMESTAMP, "-5"),
        (TIMESTAMP, " 5"),
        (TIMESTAMP, "\u0665"),
        (TIMESTAMP, "9" * 5000),
        (SIGNATURE, None),
        (SIGNATURE, ""),
        (SIGNATURE, "v1"),
        (SIGNATURE, "v1,"),
        (SIGNATURE, ","),
        (SIGNATURE, "v1a,AAAA v2,BBBB"),
        (SIGNATURE, "v1,\udcff\u20ac"),
    ],
)
def test_headers_that_make_no_sense_are_refused(header: str, value: str | None) -> None:
    """By the one error that there is for it."""
    headers = sign([SECRET], "msg_1", b"{}", now=NOW)
    if value is None:
        del headers[header]
    else:
        headers[header] = value
    with pytest.raises(BadSignature):
        verify([SECRET], headers, b"{}", now=NOW)


def test_names_of_headers_are_the_same_in_capitals() -> None:
    """As HTTP has it."""
    headers = {k.title(): v for k, v in sign([SECRET], "msg_1", b"{}", now=NOW).items()}
    assert verify([SECRET], headers, b"{}", now=NOW) == "msg_1"


@pytest.mark.parametrize("message_id", ["run/acme/a.b-1", "a\r\nb", "\u00e9"])
def test_an_id_that_would_sign_more_is_not_signed(message_id: str) -> None:
    """The id is a part of what is signed, and of a header."""
    with pytest.raises(ValueError, match="message id"):
        sign([SECRET], message_id, b"{}", now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("", "whsec_", "whsec_short", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        *("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "whsec_" + "A" * 88 + "AAAA"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    """A secret with a typing error is still nearly the secret."""
    with pytest.raises(ValueError, match=r"must be|is empty") as refusal:
        parse_secrets(text)
    if len(text) > 6:
        assert text[6:] not in str(refusal.value)


def test_a_secret_does_not_show_itself() -> None:
    """Wherever it is printed."""
    [secret] = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    for shown in (repr(secret), str(secret), f"{[secret]}"):
        assert "MfKQ" not in shown
        assert repr(secret.key) not in shown
