"""Checks signatures by Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{body}`, version `v1`.

It is written on its own, so that what signs is checked by something else than itself. With secrets
calls of plugins have to be signed; one that is not is refused with 401 and counts for nothing.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping

from starlette.types import Scope

from pluginkit.problems import Problem
from pluginkit.secrets import Secrets

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300

_PREFIX = "whsec_"
_SECONDS = re.compile(r"[0-9]{1,12}")


def key_of(secret: str) -> bytes:
    """The key in `whsec_<base64>`; ValueError says what is wrong, without the secret."""
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a secret is {_PREFIX} and base64") from error
    if encoded == secret or not key:
        raise ValueError(f"a secret is {_PREFIX} and base64")
    return key


def check(keys: Iterable[bytes], headers: Mapping[bytes, bytes], body: bytes, at: float) -> None:
    """Raises Problem 401 unless one of the keys signed this body; `at`: now, seconds since 1970.

    Several signatures with blanks between them may come: one that is right is enough.
    """
    message, timestamp, signatures = (
        headers.get(name.encode(), b"") for name in (ID, TIMESTAMP, SIGNATURE)
    )
    if not (message and timestamp and signatures):
        raise _refused(f"the headers {ID}, {TIMESTAMP} and {SIGNATURE} are needed")
    if not _SECONDS.fullmatch(timestamp.decode("latin-1")):
        raise _refused(f"the {TIMESTAMP} is no number of seconds")
    if abs(at - int(timestamp)) > TOLERANCE_SECONDS:
        raise _refused(f"the {TIMESTAMP} is more than {TOLERANCE_SECONDS} s from now")
    signed = b".".join((message, timestamp, body))
    right = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    given = signatures.split(b" ")
    if not any(hmac.compare_digest(one, other) for one in right for other in given):
        raise _refused("no signature is right for this body")


class Callers:
    """Who may call plugins: whoever has one of the secrets, or everybody when there is none."""

    def __init__(self, secrets: Secrets = tuple) -> None:
        self._secrets = secrets

    def check(self, scope: Scope, body: bytes) -> bool:
        """Whether calls have to be signed, and this one is. Raises Problem 401."""
        secrets = self._secrets()
        if secrets:
            keys = [secret.key for secret in secrets]
            check(keys, dict(scope["headers"]), body, time.time())
        return bool(secrets)

    def check_cancel(self, scope: Scope, body: bytes, plugin_id: str, run_id: str) -> None:
        """Only its id says what a cancellation is about, as it has no body. Raises Problem 401."""
        if self.check(scope, body):
            about = json.dumps(["cancel", plugin_id, run_id]).encode()
            right = f"msg_{hashlib.blake2b(about, digest_size=16).hexdigest()}"
            if dict(scope["headers"])[ID.encode()] != right.encode():
                raise _refused(f"the {ID} is not that of this request")


def _refused(why: str) -> Problem:
    return Problem(401, "BAD_SIGNATURE", why)
