"""The attributes of a CloudEvent 1.0: their names, their types and how headers write them.

Each reader gives the value, or a `ValueError` that says what is wrong with it.
"""

import base64
import binascii
import codecs
import re
from datetime import UTC, datetime
from typing import Any

from domain.problems import shown

Extension = str | bool | int
"""What an attribute that is not of the specification can be."""

_NAME = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ufdd0-\ufdef\ufffe\uffff]")
_NOT_URI = re.compile(r"[\s<>\"{}|\\^`]|[^\x00-\x7f]|%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,20})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(
    rf'{_WORD}/{_WORD}(?:\s*;\s*{_WORD}=(?:{_WORD}|"(?:[^"\\]|\\.)*"))*(?:\s*;)?\s*'
)
_CHARSET = re.compile(r';\s*charset="?([A-Za-z0-9_.:-]+)"?', re.IGNORECASE)
_NOT_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"}
"""What Python decodes too, and no sender means: some take long, or change what is said."""
_TEXT_TYPES = ("application/xml", "application/yaml", "application/x-www-form-urlencoded")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LARGEST_INTEGER = 2**31


def text_of(value: Any) -> str:
    """Text without control characters."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, and this is {shown(value)}")  # noqa: TRY004 - a problem
    if not value:
        raise ValueError("must not be empty")
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


def uri_of(value: Any, *, absolute: bool = False) -> str:
    """A URI, or what stands for one relative to another."""
    text = text_of(value)
    if _NOT_URI.search(text) or (absolute and not _SCHEME.match(text)):
        kind = "an absolute URI" if absolute else "a URI reference, such as /shop/orders"
        raise ValueError(f"{shown(text)} is not {kind}")
    return text


def time_of(value: Any) -> datetime:
    """A time of RFC 3339, in UTC."""
    text = text_of(value)
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{shown(text)} is not a time: write it as 2027-01-01T02:00:00Z")


def media_type_of(value: Any) -> str:
    """A content type, with its parameters."""
    text = text_of(value)
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a media type, such as application/json")
    return text


def base64_of(value: Any) -> str:
    """Base64 as everybody writes it."""
    try:
        if isinstance(value, str):
            return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except (binascii.Error, ValueError):
        pass
    raise ValueError(f"{shown(value)} is not base64")


def extension_of(name: str, value: Any) -> Extension:
    """The value of an attribute that is not of the specification."""
    if not _NAME.fullmatch(name):
        raise ValueError("is not the name of an attribute: 1 to 64 lower-case letters and digits")
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        return value
    if isinstance(value, str) and not _CONTROL.search(value):
        return value
    kinds = "text without control characters, true, false or a whole number of 32 bits"
    raise ValueError(f"{shown(value)} is not the value of an attribute: {kinds}")


def header_of(value: str) -> str:
    """The value of a header of the binary form: quotes and percent-encoding undone."""
    value = value.strip()
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode()), value.encode()).decode()
    except UnicodeError:
        raise ValueError("is not UTF-8 when its percent-encoding is undone") from None


def is_json(content_type: str | None) -> bool:
    """Whether data of this content type is JSON; data of no stated type is."""
    return content_type is None or _kind(content_type).endswith(("/json", "+json"))


def is_text(content_type: str) -> bool:
    """Whether data of this content type is text."""
    kind = _kind(content_type)
    return kind.startswith("text/") or kind.endswith("+xml") or kind in _TEXT_TYPES


def charset_of(content_type: str) -> str:
    """How text of this content type is encoded."""
    named = _CHARSET.search(content_type)
    return named[1] if named else "utf-8"


def decoded(body: bytes, charset: str) -> str:
    """A body as text. Errors: `ValueError`, `LookupError` for what is no charset."""
    if codecs.lookup(charset).name in _NOT_CHARSETS:
        raise LookupError(f"{charset} is no charset")
    return body.decode(charset)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
