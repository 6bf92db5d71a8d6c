"""Checks signatures by Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{body}`, version `v1`.

It is written on its own, so that what signs is checked by something else than itself.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

from pluginkit.problems import Problem

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


def check(secret: str, headers: Mapping[bytes, bytes], body: bytes, at: float) -> None:
    """Raises Problem 401 unless the secret signed this body; `at` is the time now, since 1970.

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
    digest = hmac.digest(key_of(secret), b".".join((message, timestamp, body)), "sha256")
    right = b"v1," + base64.b64encode(digest)
    if not any(hmac.compare_digest(right, given) for given in signatures.split(b" ")):
        raise _refused("no signature is right for this body")


def _refused(why: str) -> Problem:
    return Problem(401, "BAD_SIGNATURE", why)
