"""What OpenAPI says beside the routes themselves: problems, bodies, examples."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

from starter.api.problems import MEDIA_TYPE

Documented = dict[int | str, dict[str, Any]]


class ProblemError(BaseModel):
    """One thing to mend."""

    path: str
    message: str
    line: int | None = None


class ProblemDocument(BaseModel):
    """Every answer that is an error (RFC 9457). Some problems have members of their own."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "the request is refused whole: `errors` says what is wrong with it",
                "code": "INVALID_INPUT",
                "request_id": "5f3c1d0a9b8e47f2a6c4e1d2b3a49586",
                "errors": [{"path": "triggers[0].cron", "message": "the hour 25 is not 0 to 23"}],
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemError] | None = None
    more_errors: int | None = None


_SEEN = {
    400: "The body is not JSON that can be taken, or the request is not HTTP",
    401: "Nobody is known to call: a token is missing, wrong, expired or revoked",
    403: "The caller lacks the scope that this needs",
    404: "There is no such thing for this tenant",
    405: "Not a method of this path: `Allow` lists those that are",
    408: "The body did not come in time",
    409: "It no longer fits the state of things: `code` says how",
    412: "It was changed meanwhile: `If-Match` names another version",
    413: "The body is too large",
    415: "Not a content type that can be taken",
    422: "What was sent is wrong: `errors` says all that is",
    428: "`If-Match` is needed",
    429: "Too many requests: `Retry-After` says when to come again",
    500: "Nobody foresaw this; the log has it under the request id",
    503: "Temporal, or who knows the callers, does not answer: come again after `Retry-After`",
}
ALWAYS = (401, 403, 404, 422, 429, 500, 503)
"""Of every route that asks who calls."""
BODY = (400, 408, 413, 415)
"""Of routes that take a body."""
_SCHEMA = {"$ref": "#/components/schemas/ProblemDocument"}
_AGAIN = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


def problems(*statuses: int) -> Documented:
    """The `responses` of a route that answers so, beside 403 (a foreign page) and 500."""
    return {status: _problem(status) for status in sorted({403, 500, *statuses})}


def example(status: int, document: Any, description: str = "Done") -> Documented:
    """The `responses` of a route with one example of its answer."""
    return {
        status: {"description": description, "content": {"application/json": {"example": document}}}
    }


def body(*contents: tuple[str, Mapping[str, Any], Any], required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body itself: (media type, schema, example)."""
    return {
        "requestBody": {
            "required": required,
            "content": {
                media_type: {"schema": dict(schema), "example": shown}
                for media_type, schema, shown in contents
            },
        }
    }


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the app with what `problems` refers to."""
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    components |= problem.pop("$defs", {})
    components["ProblemDocument"] = problem
    return schema


def _problem(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": _SEEN.get(status, HTTPStatus(status).phrase),
        "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
    }
    return described | ({"headers": _AGAIN} if status in (429, 503) else {})
