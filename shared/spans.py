"""Spans whose ids are given, told of when they are over; needs the extra `otel`."""

import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from domain.trace import Parent
from shared.tracing import RequestTrace

log = structlog.get_logger(__name__)

Attribute = str | int | bool | Sequence[str] | datetime | None
_NANOSECONDS = 1_000_000_000
_NOWHERE = Context()
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Span:
    """One that is over. `began` and `ended` are nanoseconds since the epoch, UTC.

    `error`: why it failed, in a word. Attributes that are None are left out.
    """

    name: str
    own: Parent
    parent: Parent | None
    began: int
    ended: int
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    links: Sequence[Parent] = ()
    error: str | None = None


class _GivenIds(IdGenerator):
    """The SDK asks for ids in the thread that starts a span, while it does."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, own: Parent) -> None:
        self._given.own = own

    def generate_trace_id(self) -> int:
        return int(self._given.own.trace, 16)

    def generate_span_id(self) -> int:
        return int(self._given.own.span, 16)


class Spans:
    """Safe to use from any thread, and never in the way: nothing here waits, raises, or does I/O.

    What a full queue cannot take is lost.
    """

    def __init__(self, provider: TracerProvider, ids: _GivenIds) -> None:
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer("taskflow", version("taskflow"))

    def tell(self, span: Span) -> None:
        """Have it sent, if its trace is recorded."""
        try:
            self._tell(span)
        except Exception as error:  # noqa: BLE001 - no run fails because of its trace
            log.debug("a span is lost", action="span_lost", span=span.name, reason=repr(error))

    def is_sampled(self, trace: str) -> bool:
        """Whether a trace that begins with us is recorded: every process finds the same."""
        found = self._provider.sampler.should_sample(_NOWHERE, int(trace, 16), "run")
        return found.decision is Decision.RECORD_AND_SAMPLE

    def close(self, patience: float) -> None:
        """Send what is left; the SDK itself would wait for half a minute."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(patience)

    def _tell(self, span: Span) -> None:
        context = _NOWHERE
        if span.parent:
            context = set_span_in_context(NonRecordingSpan(_context_of(span.parent)), _NOWHERE)
        self._ids.give(span.own)
        told = self._tracer.start_span(
            span.name,
            context,
            span.kind,
            {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in span.attributes.items()
                if value is not None
            },
            [Link(_context_of(linked)) for linked in span.links],
            span.began,
        )
        if span.error:
            told.set_status(StatusCode.ERROR, span.error)
        told.end(max(span.began, span.ended))


def exported(service: str) -> Spans:
    """Spans that go where the environment says."""
    ids = _GivenIds()
    provider = TracerProvider(resource=_resource(service), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider, ids)


def nanoseconds(at: datetime) -> int:
    """Since the epoch."""
    return round(at.timestamp() * 1_000_000) * (_NANOSECONDS // 1_000_000)


def _resource(service: str) -> Resource:
    """What sends them; what people said of it goes before."""
    ours = {
        "service.name": service,
        "service.version": version("taskflow"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
    }
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = {pair.partition("=")[0].strip() for pair in said.split(",")}
    if os.environ.get("OTEL_SERVICE_NAME"):
        named.add("service.name")
    return Resource.create({name: value for name, value in ours.items() if name not in named})


def _context_of(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parent.trace, 16), int(parent.span, 16), True, flags)


def answered(request: RequestTrace, name: str, request_id: str, status: int) -> Span:
    """The span of a request that was answered with an HTTP status, linked to the runs it made."""
    method, _, route = name.partition(" ")
    return Span(
        name,
        request.own,
        request.sender,
        request.began,
        time.time_ns(),
        kind=SpanKind.SERVER,
        attributes={
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "taskflow.request_id": request_id,
        },
        links=request.started,
        error=str(status) if status >= _SERVER_ERROR else None,
    )
