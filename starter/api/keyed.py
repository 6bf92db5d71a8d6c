"""Requests that change something: answered once, however often they come under one key."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, WithJsonSchema
from temporalio.client import Client

from domain.answered import Answer
from domain.packing import pack, unpack
from starter.api.access import Access
from starter.idempotency import answer_once
from starter.pulse import PULSE_SECONDS, while_alive

LONG_SECONDS = 300.0
"""For work whose length grows with what is asked; a server that falls silent ends it at once."""
NO_STORE = {"Cache-Control": "no-store"}
"""A tag is that of a task's specification: a browser must not show its state of then."""

_KEY = r"[!-~]{1,128}"


def _is_key(text: str) -> str:
    if not re.fullmatch(_KEY, text):
        raise ValueError("must be 1 to 128 visible ASCII characters, without blanks")
    return text


Key = Annotated[
    Annotated[
        str, AfterValidator(_is_key), WithJsonSchema({"type": "string", "pattern": f"^{_KEY}$"})
    ]
    | None,
    Header(
        alias="Idempotency-Key",
        description="The same request under the same key is done once, and answered alike every "
        "time, for as long as Temporal retains what has ended. Of one tenant each",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="Change the task only while its specification has one of these tags",
    ),
]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the work of a request comes to."""

    document: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """As it is sent."""
        headers = {**NO_STORE, **self.headers}
        return JSONResponse(dict(self.document), self.status, headers)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request, and the key that it came with."""

    request: Request
    key: str | None

    async def answer(
        self, access: Access, data: Any, work: Callable[[Client], Awaitable[Reply]]
    ) -> Response:
        """Do the work and answer, or answer as the first of these requests was.

        `data`: what the body holds. Errors: those of `answer_once`.
        """
        key = self.key
        if key is None:
            return (await at_length(access, work)).response()

        async def once(client: Client) -> tuple[Answer, bool]:
            async def done() -> Answer:
                reply = await work(client)
                body = pack(bytes(reply.response().body).decode())
                headers = dict(reply.headers)
                return Answer(request=asked, status=reply.status, headers=headers, body=body)

            queue = access.context.settings.task_queue
            return await answer_once(client, access.tenant_id, key, asked, done, task_queue=queue)

        asked = _digest(self.request, data)
        answer, replayed = await at_length(access, once)
        again = {"Idempotency-Replayed": "true"} if replayed else {}
        return Response(
            unpack(answer.body),
            answer.status,
            {**NO_STORE, **answer.headers, **again},
            media_type="application/json",
        )


async def _keyed(request: Request, key: Key = None) -> Keyed:
    return Keyed(request, key)


KeyedRequest = Annotated[Keyed, Depends(_keyed)]


async def at_length(access: Access, work: Callable[[Client], Awaitable[Result]]) -> Result:
    """What work comes to that may take its time. Errors: its own, and `TemporalUnreachable`."""
    context = access.context
    patience = context.settings.temporal_timeout
    # The first look comes a second later, and all of it is to take no longer than any other call.
    left = max(patience - PULSE_SECONDS, patience / 2)
    async with context.temporal.client(LONG_SECONDS) as client:
        return await while_alive(client, work(client), left)


def _digest(request: Request, data: Any) -> str:
    """What tells requests apart: whom they ask for what, and not how they are written."""
    query = sorted(request.query_params.multi_items())
    conditions = [request.headers.get(name) for name in ("if-match", "if-none-match")]
    whole = [request.method, request.url.path, query, conditions, data]
    return blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=16).hexdigest()
