"""Whether this process tells of spans, and to whom: as the standard `OTEL_` variables say.

Without an endpoint, or without the extra `otel`, nothing of OpenTelemetry is loaded and nothing is
recorded. Ids are the same either way: see `domain.trace`.
"""

# ruff: noqa: PLC0415 - loaded when there is somebody to send spans to, and only then

import os
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from secrets import token_hex
from typing import TYPE_CHECKING

import structlog
from temporalio.client import Interceptor

from domain.trace import Parent, header, parse_traceparent

if TYPE_CHECKING:
    from shared.spans import Spans

log = structlog.get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
MOST_STARTED = 100
"""Runs of one request that its span names."""
_UNTOLD = ("GET /healthz", "GET /readyz", "GET /metrics")
"""Asked all day by machines."""


@dataclass(slots=True)
class RequestTrace:
    """A request that is being answered: its own span, and the first spans of runs that it made.

    `sender`: whose request it is, if that is said.
    """

    own: Parent
    sender: Parent | None
    began: int
    started: list[Parent] = field(default_factory=list)

    @classmethod
    def of(cls, headers: Sequence[str]) -> "RequestTrace":
        """By the `traceparent` headers of a request; without a valid one it begins a trace."""
        sender = parse_traceparent(headers[0]) if len(headers) == 1 else None
        trace = sender.trace if sender else token_hex(16)
        own = Parent(trace, token_hex(8), is_sampled(trace) if sender is None else sender.sampled)
        return cls(own, sender, time.time_ns())

    def made(self, trigger: Parent) -> None:
        """A run was started for this request."""
        if len(self.started) < MOST_STARTED:
            self.started.append(trigger)

    def over(self, name: str, *, request_id: str, status: int) -> None:
        """It was answered."""
        if _spans is not None and name not in _UNTOLD:
            from shared.spans import answered

            _spans.tell(answered(self, name, request_id, status))


REQUEST: ContextVar[RequestTrace | None] = ContextVar("taskflow_request", default=None)
"""The request that this code answers, if it answers any."""

_spans: "Spans | None" = None


def configure(service: str) -> None:
    """Send spans from now on, if the environment says where to; call once, before `connect`.

    `service`: the `service.name` of a process to which nobody gave another.
    """
    global _spans  # noqa: PLW0603 - one for a process, as its logs are
    if not _is_wanted():
        return
    if not _is_installed():
        log.warning(
            "no traces: OpenTelemetry is not installed",
            action="tracing_unavailable",
            fix="pip install 'taskflow[otel]'",
        )
        return
    said = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _SPOKEN)
    if said != _SPOKEN:
        log.warning("spans are sent as http/protobuf", action="tracing_protocol", wanted=said)
    from shared.spans import exported

    _spans = exported(service)


def spans() -> "Spans | None":
    """Who takes spans in this process; None when nobody does."""
    return _spans


def interceptors() -> list[Interceptor]:
    """What a client needs, and every worker that is built with it; nothing without tracing."""
    if _spans is None:
        return []
    from shared.run_traces import RunTraces

    return [RunTraces(_spans)]


def parent_header(trace: str, span: str) -> str:
    """The `traceparent` of a call; whoever gets it is to record it as this process does."""
    return header(trace, span, sampled=is_sampled(trace))


def is_sampled(trace: str) -> bool:
    """Whether a run's trace is recorded; without tracing it is left to others: yes."""
    return _spans is None or _spans.is_sampled(trace)


def close(patience: float = 2.0) -> None:
    """Send what is left, for `patience` seconds at most: the process ends, whoever listens."""
    global _spans  # noqa: PLW0603 - as above
    if _spans is not None:
        _spans.close(patience)
        _spans = None


def _is_wanted() -> bool:
    """As the specification has it: nothing is sent to an endpoint that nobody named."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    return not off and exporter == "otlp" and any(os.environ.get(name) for name in _ENDPOINTS)


def _is_installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of a package above it
        return False
