"""Sinks that record what they are told, and the activities and workflow that tell them."""

import asyncio
import base64
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml
from prometheus_client import CollectorRegistry
from pytest_httpserver import HTTPServer
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from werkzeug import Request, Response

from activities.events import EventActivities
from domain.cloud_event import BATCH, STRUCTURED
from domain.delivery import DeliveryResult
from domain.events_out import RunChanges, StateChange
from domain.ids import delivery_id, recovery_queue
from domain.states import RunState
from shared.metrics import EventMetrics
from shared.sinks import LiveSinks
from shared.webhooks import Secret, verify
from worker.build import new_worker
from workflows.delivery import Delivery

Say = Callable[[], int | Response]
"""What a sink answers to a request: a status, or everything."""
TRACE = "0af7651916cd43dd8448eb211c80319c"
_STORY = (RunState.RUNNING, RunState.RETRYING, RunState.RUNNING, RunState.SUCCESS)


def new_secret() -> str:
    """A secret as people hand it out."""
    return f"whsec_{base64.b64encode(os.urandom(24)).decode()}"


def run_of(*sequences: int, run_id: str = "", **fields: Any) -> RunChanges:
    """Changes of one run; it moves on a little with each."""
    changes = [
        StateChange(
            sequence=number,
            status=_STORY[(number - 1) % len(_STORY)],
            previous=_STORY[(number - 2) % len(_STORY)] if number > 1 else None,
            at=datetime.now(UTC),
            attempt=1 + (number - 1) // 2,
        )
        for number in sequences
    ]
    least: dict[str, Any] = {
        "tenant_id": "acme",
        "task_id": "report",
        "plugin_id": "builder",
        "run_id": run_id or f"run/acme/report/manual/{uuid4()}",
        "trace_id": TRACE,
        "changes": changes,
    }
    return RunChanges.model_validate(least | fields)


@dataclass(slots=True)
class RecordingSink:
    """Somebody who listens: verifies every request, and keeps the events that it took."""

    name: str
    server: HTTPServer
    secret: str = field(default_factory=new_secret)
    say: Say = lambda: 200
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    """The events of each request, taken or not."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.server.expect_request(f"/{self.name}", method="POST").respond_with_handler(self._hear)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.server.url_for(f"/{self.name}"))

    def entry(self, **fields: Any) -> dict[str, Any]:
        """Its lines in the sinks file."""
        return {"name": self.name, "url": self.url, "secret_file": self.name} | fields

    def sequences(self, run_id: str) -> list[int]:
        """Of the run's changes that it took, as they came."""
        with self._lock:
            return [e["data"]["sequence"] for e in self.taken if e["subject"] == run_id]

    def asked(self, run_id: str) -> int:
        """How many requests were about this run."""
        with self._lock:
            return sum(any(e["subject"] == run_id for e in events) for events in self.requests)

    def twice(self) -> list[str]:
        """The ids that it took more than once."""
        with self._lock:
            return [name for name, n in Counter(e["id"] for e in self.taken).items() if n > 1]

    async def took(self, run_id: str, *sequences: int, within: float = 15.0) -> None:
        """Return when it took exactly these of the run, in this order."""
        until = time.monotonic() + within
        while self.sequences(run_id) != list(sequences):
            assert time.monotonic() < until, (self.name, self.sequences(run_id), sequences)
            await asyncio.sleep(0.02)

    def _hear(self, request: Request) -> Response:
        body = request.get_data()
        try:
            headers = dict(request.headers.items())
            verify([Secret.parse(self.secret)], headers, body, now=datetime.now(UTC))
            said = json.loads(body)
            assert request.content_type == (BATCH if isinstance(said, list) else STRUCTURED)
        except Exception as error:  # noqa: BLE001 - a test reads it
            self.wrong.append(repr(error))
            return Response(status=400)
        events = said if isinstance(said, list) else [said]
        with self._lock:
            self.requests.append(events)
        answer = self.say()
        response = answer if isinstance(answer, Response) else Response(status=answer)
        if response.status_code < 300:
            with self._lock:
                self.taken += events
        return response


class Telling:
    """The activities as a worker makes them, with a sinks file of their own."""

    def __init__(self, client: Client, http: httpx.AsyncClient, folder: Path) -> None:
        self.client = client
        self.http = http
        self.file = folder / "sinks.yaml"
        self.queue = f"test-{uuid4()}"
        self.registry = CollectorRegistry()
        self.metrics = EventMetrics(self.registry)
        self.sinks = LiveSinks(None)
        self.activities = self.of_another_worker()

    def listen(self, *sinks: RecordingSink, **fields: Any) -> None:
        """Only these are told, from now on."""
        self.listen_to((sink, sink.entry(**fields)) for sink in sinks)

    def listen_to(self, entries: Iterable[tuple[RecordingSink, dict[str, Any]]]) -> None:
        """The same, each with lines of its own."""
        entries = list(entries)
        for sink, _ in entries:
            (self.file.parent / sink.name).write_text(f"{sink.secret}\n")
        self.file.write_text(yaml.safe_dump({"sinks": [entry for _, entry in entries]}))
        self.sinks = LiveSinks(self.file)
        self.activities = self.of_another_worker()

    def of_another_worker(self) -> EventActivities:
        """Activities that know nothing of what these met."""
        return EventActivities(
            self.client,
            self.http,
            self.sinks,
            self.metrics,
            task_queue=self.queue,
        )

    def recovery(self) -> AbstractAsyncContextManager[Worker]:
        """A worker that delivers, by the activities of this moment."""
        return new_worker(
            self.client,
            task_queue=recovery_queue(self.queue),
            workflows=[Delivery],
            activities=[self.activities.deliver_changes],
        )

    def delivery(self, run_id: str) -> WorkflowHandle[Any, DeliveryResult]:
        """The workflow that delivers what the run's sinks did not take."""
        return self.client.get_workflow_handle(delivery_id(run_id), result_type=DeliveryResult)

    async def result(self, run_id: str) -> DeliveryResult:
        """What it came to."""
        async with asyncio.timeout(20):
            return await self.delivery(run_id).result()

    def counted(self, what: str, sink: RecordingSink) -> float:
        """A counter: `delivered`, `handed_over` or `given_up`."""
        name, labels = f"task_events_{what}_total", {"sink": sink.name}
        return self.registry.get_sample_value(name, labels) or 0.0

    async def given_up(self, sink: RecordingSink, times: int) -> None:
        """Return when so many were given up."""
        async with asyncio.timeout(15):
            while self.counted("given_up", sink) < times:  # noqa: ASYNC110 - a counter has no news
                await asyncio.sleep(0.02)
