"""`python -m benchmarks.small [--json]`: small parts of a run or an event, one by one.

Processor time of each, the least of several rounds. `--json` prints one document:
`{"parts": [{"name", "title", "us"}]}`, microseconds.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from unittest.mock import patch

from prometheus_client import CollectorRegistry
from pydantic import JsonValue
from rich.console import Console
from temporalio.api.common.v1 import Payload

from benchmarks.events import ORDER
from benchmarks.tables import Table
from domain.events_in import CloudEvent
from domain.filters import Seen, compile_filter
from domain.trace import Parent, run_span, trace_id
from shared.codec import EncryptionCodec
from shared.codec_keys import Key, KeyRing
from shared.leave import leave
from shared.sdk_metrics import SdkMetrics
from shared.spans import Span, exported
from shared.webhooks import Secret, request_id, sign

ROUNDS = 5
KIB = 1024
UPDATES, SPANS = 62, 4
"""What a plain run has counted, and what is told of it."""
ORDINARY = "data.amount > 100 && data.region == 'eu'"
WORST = " || ".join(["data.matches('(\\\\pL{1,9})b')"] * 2)
LARGEST = "\u00e4" * 30_000
"""Data of the largest event that is accepted; there, of filters that are, one of the slowest."""

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Part:
    """Microseconds of one."""

    name: str
    title: str
    us: float


def measure() -> list[Part]:
    """All of them, in the order of the table."""
    codec = EncryptionCodec(KeyRing((Key.new("benchmark"),)))
    return [
        *_encrypted(codec, KIB, "1 KiB"),
        *_encrypted(codec, 256 * KIB, "256 KiB"),
        _part("sign", "sign a call of 2 KiB with two secrets", _signing(2 * KIB)),
        _part("sign_large", "sign a call of 256 KiB with two secrets", _signing(256 * KIB)),
        _part("filter", "an ordinary filter on an ordinary event", _filter(ORDINARY, ORDER)),
        _part("filter_worst", "a slow filter on an event of 64 KiB", _filter(WORST, LARGEST), 1),
        _counted(),
        _told(),
    ]


def _part(name: str, title: str, call: Call, calls: int = 50) -> Part:
    return Part(name, title, round(min(_microseconds(call, calls) for _ in range(ROUNDS)), 1))


def _microseconds(call: Call, calls: int) -> float:
    """Of this thread: what others do meanwhile is theirs."""
    began = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - began) / calls * 1e6


def _encrypted(codec: EncryptionCodec, size: int, title: str) -> list[Part]:
    plain = [Payload(metadata={"encoding": b"json/plain"}, data=b"x" * size)]
    encrypted = asyncio.run(codec.encode(plain))
    return [
        _part(f"encrypt_{size}", f"encrypt {title}", _awaited(codec.encode, plain)),
        _part(f"decrypt_{size}", f"decrypt {title}", _awaited(codec.decode, encrypted)),
    ]


def _awaited(
    work: Callable[[Sequence[Payload]], Awaitable[list[Payload]]], payloads: list[Payload]
) -> Call:
    """The work without an event loop, which it does not need: it waits for nothing."""

    def call() -> None:
        steps = work(payloads).__await__()
        assert next(steps, None) is None  # noqa: S101 - else it waits, and this is no measurement

    return call


def _signing(size: int) -> Call:
    secrets, body, now = (Secret(b"a" * 32), Secret(b"b" * 32)), b"x" * size, datetime.now(UTC)
    return lambda: sign(secrets, request_id("execute", "plugin", "run", "1"), body, now=now)


def _filter(text: str, data: JsonValue) -> Call:
    seen, compiled = Seen(CloudEvent("e-1", "/benchmark", "t", data=data)), compile_filter(text)
    compiled.matches(seen)  # converts the event, once for all filters
    return lambda: compiled.matches(seen)


def _counted() -> Part:
    """Updates as Temporal's SDK makes them, from its buffer to the registry of the process."""
    metrics = SdkMetrics(CollectorRegistry())
    counter = metrics.runtime.metric_meter.create_counter("temporal_request")
    latency = metrics.runtime.metric_meter.create_histogram_float("temporal_request_latency")

    def made() -> Call:
        for number in range(UPDATES * 50 // 2):
            labels = {"operation": f"operation-{number % 5}", "namespace": "default"}
            counter.add(1, labels)
            latency.record(0.01, labels)
        return metrics.drain

    us = min(_microseconds(made(), 1) for _ in range(ROUNDS)) / 50
    metrics.stop()
    return Part("count", f"bring {UPDATES} updates of metrics to the page", round(us, 1))


def _told() -> Part:
    """Spans of one run; they are kept in their queue, and not sent while this measures."""
    later = {
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    with patch.dict(os.environ, later):
        spans = exported("benchmark")
    run = "run/acme/daily-report-2026-11-23T02:00:00Z"
    trace = trace_id(run, "benchmark")
    now = time.time_ns()
    names = {
        "taskflow.run_id": run,
        "taskflow.tenant_id": "acme",
        "taskflow.task_id": "daily-report",
    }
    told = [
        Span(
            f"span-{number}",
            Parent(trace, f"{number + 1:016x}", sampled=True),
            Parent(trace, run_span(trace), sampled=True),
            now,
            now + 1000,
            attributes={**names, "taskflow.attempt": number, "taskflow.at": datetime.now(UTC)},
        )
        for number in range(SPANS)
    ]

    def call() -> None:
        for span in told:
            spans.tell(span)

    part = _part("trace", f"tell of {SPANS} spans, to be sent later", call, 20)
    assert spans.is_sampled(trace)  # noqa: S101 - else nothing was told
    return part


def table(found: Sequence[Part]) -> Table:
    """The document for people."""
    return Table(
        "small",
        "Microseconds of processor time",
        ("what is done once", "us"),
        [(part.title, f"{part.us:,.1f}") for part in found],
        (),
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure()
    if given.json:
        document = {"parts": [asdict(part) for part in found]}
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        table(found).show(Console())
    return 0


if __name__ == "__main__":
    leave(main())
