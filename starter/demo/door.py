"""What comes into the demo by its own API: a task, and events, sent over HTTP as others would."""

import asyncio
import ssl
import time
from collections.abc import Set
from http import HTTPStatus
from types import TracebackType
from typing import Self

import httpx

from shared.errors import TaskflowError

AGAIN_SECONDS = 0.5
PATIENCE = 45.0
"""Seconds for one thing to come in, also while Temporal or the API is started again."""
_JSON, _BATCH = "application/json", "application/cloudevents-batch+json"
_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Door:
    """The API at `url`, as one of its tenants; use it as a context.

    Whatever is not answered, or with "later", is sent again: nothing is done twice by that. Errors
    of all methods: `TaskflowError` when something does not come in at all.
    """

    def __init__(self, url: str, tenant_id: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            params={"tenant_id": tenant_id},
            timeout=15.0,
            # No proxy of the environment stands between us and this machine, and no TLS either:
            # reading the machine's certificates is wasted time.
            trust_env=False,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def register(self, body: str) -> None:
        """Register what a body says."""
        await self._sent("/internal/tasks/register", body, _JSON, time.monotonic() + PATIENCE)

    async def tell(self, batch: str, wanted: Set[str]) -> None:
        """Tell of a batch of events until these runs are there, and then once more.

        The API looks for new rules every two seconds: until then their events do nothing.
        """
        end = time.monotonic() + PATIENCE
        while not wanted <= (runs := await self._told(batch, end)):
            if time.monotonic() > end:
                raise TaskflowError(f"the events did not start {', '.join(sorted(wanted - runs))}")
            await asyncio.sleep(AGAIN_SECONDS)
        await self._told(batch, end)

    async def _told(self, batch: str, end: float) -> set[str]:
        answer = await self._sent("/internal/events", batch, _BATCH, end)
        return {run["run_id"] for event in answer.json()["events"] for run in event["runs"]}

    async def _sent(self, path: str, body: str, media_type: str, end: float) -> httpx.Response:
        while True:
            try:
                answer = await self._http.post(
                    path, content=body, headers={"Content-Type": media_type}
                )
            except httpx.TransportError as error:
                said = f"the API does not answer ({type(error).__name__})"
            else:
                if answer.is_success:
                    return answer
                said = f"the API answers {answer.status_code}: {answer.text[:300]}"
                if answer.status_code not in _LATER:
                    raise TaskflowError(f"{path}: {said}")
            if time.monotonic() > end:
                raise TaskflowError(f"{path}: {said}")
            await asyncio.sleep(AGAIN_SECONDS)
