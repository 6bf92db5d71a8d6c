"""An OTLP/HTTP receiver: takes spans as a collector does, and can keep its senders waiting."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class Taken:
    """A span as it came, with the process that sent it."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    kind: str
    failed: str | None
    began: datetime
    ended: datetime
    attributes: dict[str, Any]
    links: list[tuple[str, str]]


@dataclass
class Receiver:
    """What came. While `answers` is cleared nobody gets one; `waiting` counts who waits."""

    url: str = ""
    spans: list[Taken] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0

    def of(self, trace: str) -> dict[str, list[Taken]]:
        """The spans of a trace by their names, by their beginning."""
        found: dict[str, list[Taken]] = {}
        for span in sorted(self.spans, key=lambda span: span.began):
            if span.trace == trace:
                found.setdefault(span.name, []).append(span)
        return found

    def take(self, body: bytes) -> None:
        """Parse a request."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {pair.key: _value(pair.value) for pair in group.resource.attributes}
            for scope in group.scope_spans:
                service = str(resource["service.name"])
                self.spans += [_taken(service, span) for span in scope.spans]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """On a free port of this machine."""
    receiver = Receiver()
    receiver.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == PATH
            assert self.headers["content-type"] == "application/x-protobuf"
            receiver.waiting += 1
            receiver.answers.wait(60)
            receiver.waiting -= 1
            receiver.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is said of requests."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Whoever was kept waiting may have left."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.answers.set()
            server.shutdown()
            thread.join()


def _taken(service: str, span: Sent) -> Taken:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return Taken(
        service=service,
        name=span.name,
        trace=span.trace_id.hex(),
        span=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        failed=span.status.message if failed else None,
        began=_at(span.start_time_unix_nano),
        ended=_at(span.end_time_unix_nano),
        attributes={pair.key: _value(pair.value) for pair in span.attributes},
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _at(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
