"""What became of messages, counted by the process that had them."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter


class NatsMetrics:
    """Counters of `taskflow nats`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"task_nats_{name}", text, labels, registry=registry)

        self.received = counter("received_total", "Messages that NATS delivered, repeats included")
        self.redelivered = counter("redelivered_total", "Those that it had delivered before")
        self.started = counter("started_total", "Runs that events started, or had started before")
        self.unmatched = counter("unmatched_total", "Events that started no run")
        self.parked = counter("parked_total", "Messages that can never be taken, put aside")
        self.dropped = counter("dropped_total", "Such messages that no stream was there to keep")
        self.naks = counter("naks_total", "Messages given back, to come again later", "reason")
