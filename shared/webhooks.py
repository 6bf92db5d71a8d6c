"""Signatures of requests by Standard Webhooks 1.0, version `v1`: HMAC-SHA256 with a shared secret.

The library `standardwebhooks` does the same. It is not used: it reads the clock itself, ignores
the zone of the time that it is given, and breaks with errors that are not its own on headers that
are not well-formed.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
TOLERANCE_SECONDS = 300
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_MOST_DIGITS = 12


class BadSignature(Exception):  # noqa: N818 - reads as what was found
    """The request is not known to come from who has the secret; the text says why."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that two sides share; it is never shown."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """A secret as it is handed out, `whsec_<base64>`. Errors: `ValueError`, without it."""
        encoded = text.removeprefix(PREFIX)
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if encoded == text or not LEAST_BYTES <= len(key) <= MOST_BYTES:
            raise ValueError(f"must be {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} bytes in base64")
        return cls(key)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """One signature: `v1,<base64>`."""
        content = f"{message_id}.{timestamp}.".encode() + body
        return f"v1,{base64.b64encode(hmac.digest(self.key, content, 'sha256')).decode()}"


def parse_secrets(text: str) -> tuple[Secret, ...]:
    """One secret, or several with spaces or lines between them, the newest first.

    Errors: `ValueError`, without any of them.
    """
    secrets = tuple(Secret.parse(part) for part in text.split())
    if not secrets:
        raise ValueError("is empty")
    return secrets


def request_id(*what: str) -> str:
    """A message id made of what a request is about, the same for each delivery of it.

    A signature covers the id and the body, and not the path: so it covers the path as well.
    """
    return f"msg_{blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()}"


def sign(
    secrets: Sequence[Secret], message_id: str, body: bytes, *, now: datetime
) -> dict[str, str]:
    """The headers that sign `body`, once with every secret.

    Errors: `ValueError` for an id with a full stop, which would sign other requests too.
    """
    if "." in message_id or not message_id.isprintable() or not message_id.isascii():
        raise ValueError("a message id is printable ASCII without a full stop")
    timestamp = int(now.timestamp())
    signatures = [secret.sign(message_id, timestamp, body) for secret in secrets]
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(signatures)}


def verify(
    secrets: Sequence[Secret], headers: Mapping[str, str], body: bytes, *, now: datetime
) -> str:
    """The message id of a request that was signed with one of the secrets, not long ago.

    Several signatures may come with it; one that is right is enough. Errors: `BadSignature`.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    message_id, said, signatures = (lowered.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or not said or not signatures:
        raise BadSignature(f"the headers {ID}, {TIMESTAMP} and {SIGNATURE} are needed")
    if "." in message_id:
        raise BadSignature(f"the {ID} holds a full stop")
    if not (said.isascii() and said.isdigit() and len(said) <= _MOST_DIGITS):
        raise BadSignature(f"the {TIMESTAMP} is not a number of seconds")
    timestamp = int(said)
    if abs(now.timestamp() - timestamp) > TOLERANCE_SECONDS:
        raise BadSignature(f"the {TIMESTAMP} is more than {TOLERANCE_SECONDS} s from now")
    right = False
    for secret in secrets:
        expected = secret.sign(message_id, timestamp, body).encode()
        for signature in signatures.split(" "):
            right |= hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
    if not right:
        raise BadSignature("no signature is right for this body")
    return message_id
