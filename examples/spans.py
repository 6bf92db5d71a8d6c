"""Prints the traces that come by OTLP/HTTP, each as a tree: a look at spans without a collector.

python examples/spans.py [PORT]     # needs: pip install 'taskflow[otel]'
"""

# ruff: noqa: T201 - printing is what it is for

import gzip
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

QUIET_SECONDS = 6.0
"""A trace of which nothing came for so long is printed: processes send every five seconds."""

Node = tuple[str, Any]
traces: dict[str, list[Node]] = defaultdict(list)
waiting: dict[str, threading.Timer] = {}
lock = threading.Lock()


class Collector(BaseHTTPRequestHandler):
    """Takes spans."""

    def do_POST(self) -> None:
        """One batch of a process."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            for scope in group.scope_spans:
                for span in scope.spans:
                    self.take(named["service.name"], span)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def take(self, service: str, span: Any) -> None:
        """Keep it, and print its trace when no more of it comes."""
        trace = span.trace_id.hex()
        with lock:
            traces[trace].append((service, span))
            if trace in waiting:
                waiting[trace].cancel()
            waiting[trace] = threading.Timer(QUIET_SECONDS, show, [trace])
            waiting[trace].start()

    def log_message(self, *_: object) -> None:
        """Nothing is said of requests."""


def show(trace: str) -> None:
    """Print a trace."""
    with lock:
        nodes = sorted(traces.pop(trace), key=lambda node: node[1].start_time_unix_nano)
        del waiting[trace]
    known = {span.span_id for _, span in nodes}
    print(f"\ntrace {trace}")
    for node in nodes:
        if node[1].parent_span_id not in known:
            branch(node, nodes, 1)
    sys.stdout.flush()


def branch(node: Node, nodes: list[Node], depth: int) -> None:
    """Print a span, and those beneath it."""
    service, span = node
    milliseconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    name = f"{'  ' * depth}{span.name}"
    failed = f"  {span.status.message}" if span.status.code else ""
    print(f"{name:<40}{milliseconds:>10.1f} ms  {service}{failed}")
    for below in nodes:
        if below[1].parent_span_id == span.span_id:
            branch(below, nodes, depth + 1)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4318
    with ThreadingHTTPServer(("127.0.0.1", port), Collector) as server:
        print(f"spans are taken at http://127.0.0.1:{port}", flush=True)
        server.serve_forever()
