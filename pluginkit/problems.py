"""Refusals as `application/problem+json` (RFC 9457), with a code and the errors by path."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


@dataclass
class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A request is refused.

    `code` is for programs, `detail` for people; `errors` are `{path, message}` of each field;
    `headers` go with the answer.
    """

    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The JSON body."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return json.dumps(document).encode()


def title(status: int) -> str:
    """The phrase of a status; also of one that no RFC names."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


def field_errors(errors: Any) -> list[dict[str, str]]:
    """Pydantic's errors as `{path, message}`, without the values: they may be secret."""
    return [
        {"path": ".".join(map(str, error["loc"])), "message": str(error["msg"])} for error in errors
    ]
