"""`/healthz`, `/readyz`, `/metrics`: for those who look after the process. No token is asked for.

None of them tells of a tenant; each is quick whatever is ill.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from starter.api.access import Shared
from starter.api.openapi import example, problems
from starter.api.problems import unavailable

router = APIRouter(tags=["health"])

LOOK_SECONDS = 3.0
"""For each look of `/readyz`."""


@router.get(
    "/healthz",
    operation_id="health",
    summary="Whether the process answers",
    responses=example(200, {"status": "ok"}) | problems(),
)
async def healthz() -> dict[str, str]:
    """It says nothing of what the process needs: see `/readyz`."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Whether requests can be served",
    responses=example(200, {"status": "ready", "checks": [{"name": "temporal", "ok": True}]})
    | problems(503),
)
async def readyz(context: Shared) -> dict[str, Any]:
    """Each thing that is needed, and what is wrong with it; 503 when one is missing."""
    looks: dict[str, Awaitable[str | None]] = {
        "temporal": context.temporal.problem(),
        "authentication": context.authenticator.problem(),
        "event rules": context.rules.problem(),
    }
    found = await asyncio.gather(*(_within(look) for look in looks.values()))
    checks = [
        {"name": name, "ok": said is None} | ({"detail": said} if said else {})
        for name, said in zip(looks, found, strict=True)
    ]
    missing = [name for name, said in zip(looks, found, strict=True) if said]
    if missing:
        raise unavailable("NOT_READY", f"missing: {', '.join(missing)}", checks=checks)
    return {"status": "ready", "checks": checks}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Counters of this process, for Prometheus",
    response_class=Response,
    responses=problems() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, context: Shared) -> Response:
    """In the text format that Prometheus asks for."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(context.registry), media_type=media_type)


async def _within(look: Awaitable[str | None]) -> str | None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await look
    except TimeoutError:
        return f"no answer within {LOOK_SECONDS:g} s"
