"""`POST /codec/decode` and `/codec/encode`: what Temporal's Web UI reads encrypted payloads by.

Temporal's protocol for remote codecs: payloads as JSON of protobuf, there and back.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from domain.problems import InvalidInput, Path, Problem, shown
from shared.codec import CannotDecrypt
from shared.errors import NotFound
from shared.temporal import namespace
from starter.api.access import Admin, Audited, Shared
from starter.api.bodies import JSON, read_json
from starter.api.openapi import ALWAYS, BODY, body, example, problems

PREFIX = "/codec"
CODEC_BYTES = 16 * 1024 * 1024
"""Of one request: the Web UI sends all payloads of what it shows, and base64 makes them longer."""

router = APIRouter(prefix=PREFIX, tags=["codec"])

Namespace = Annotated[
    str | None, Header(alias="X-Namespace", description="The namespace that the payloads are of")
]
_PLAIN = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "eyJhIjogMX0="}]}
_SCHEMA = {  # protobuf's JSON: what is left out or null is empty
    "type": "object",
    "properties": {
        "payloads": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {
                    "metadata": {
                        "type": ["object", "null"],
                        "additionalProperties": {"type": "string", "format": "byte"},
                    },
                    "data": {"type": ["string", "null"], "format": "byte"},
                },
            },
        }
    },
}
_DOCUMENTED: dict[str, Any] = {
    "responses": example(200, _PLAIN, "The payloads, in their order") | problems(*ALWAYS, *BODY),
    "openapi_extra": body((JSON, _SCHEMA, _PLAIN)),
}


@router.post("/decode", operation_id="decodePayloads", summary="Decrypt payloads", **_DOCUMENTED)
async def decode(
    request: Request,
    response: Response,
    context: Shared,
    audit: Audited,
    _caller: Admin,
    x_namespace: Namespace = None,
) -> dict[str, Any]:
    """For admins alone: payloads do not say whose they are. What is not encrypted comes back."""
    audit.about(namespace=x_namespace or "")
    codec = _codec(context.codec, x_namespace)
    return await _answer(request, response, codec.decode)


@router.post("/encode", operation_id="encodePayloads", summary="Encrypt payloads", **_DOCUMENTED)
async def encode(
    request: Request,
    response: Response,
    context: Shared,
    audit: Audited,
    _caller: Admin,
    x_namespace: Namespace = None,
) -> dict[str, Any]:
    """What the Web UI sends to Temporal itself, such as the input of a signal."""
    audit.about(namespace=x_namespace or "")
    codec = _codec(context.codec, x_namespace)
    return await _answer(request, response, codec.encode)


class CodecCors:
    """An ASGI middleware: a browser may use the codec, and no other route, from one origin."""

    def __init__(self, app: ASGIApp, origin: str | None) -> None:
        self._app = app
        self._open = app if origin is None else _open_to(origin, app)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        ours = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (self._open if ours else self._app)(scope, receive, send)


def _open_to(origin: str, app: ASGIApp) -> CORSMiddleware:
    return CORSMiddleware(
        app,
        allow_origins=[origin.rstrip("/")],
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type", "X-Namespace"],
        allow_credentials=True,  # the Web UI can be told to send its cookies, and would fail
    )


def _codec(codec: PayloadCodec | None, named: str | None) -> PayloadCodec:
    """Errors: `NotFound` where nothing is encrypted, or for a namespace that is not ours."""
    if codec is None:
        raise NotFound("payloads are not encrypted here: TASKFLOW_CODEC_KEYS_FILE is not set")
    if named not in (None, "", namespace()):
        raise NotFound(f"this API is of the namespace {namespace()!r}, and has keys for no other")
    return codec


async def _answer(
    request: Request,
    response: Response,
    work: Callable[[Sequence[Payload]], Awaitable[list[Payload]]],
) -> dict[str, Any]:
    """Errors: `HttpRefusal` for the body, `InvalidInput` for payloads that cannot be read."""
    data = (await read_json(request, CODEC_BYTES)).data
    _check_objects(data)
    try:
        given = ParseDict(data, Payloads(), ignore_unknown_fields=True)
    except (ParseError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InvalidInput(
            [Problem((), f"is not Temporal's JSON of payloads: {reason}")]
        ) from error
    try:
        made = await work(given.payloads)
    except CannotDecrypt as error:
        raise InvalidInput([Problem(("payloads",), str(error))]) from error
    response.headers["Cache-Control"] = "no-store"
    return {"payloads": [], **MessageToDict(Payloads(payloads=made))}


def _check_objects(data: Any) -> None:
    """Protobuf's reader takes text for an object without any field. Errors: `InvalidInput`."""
    places: list[tuple[Path, Any]] = [((), data)]
    if isinstance(data, dict) and isinstance(listed := data.get("payloads"), list):
        places = [(("payloads", number), payload) for number, payload in enumerate(listed)]
    if problems := [
        Problem(at, f"must be an object, and this is {shown(value)}")
        for at, value in places
        if not isinstance(value, dict)
    ]:
        raise InvalidInput(problems)
