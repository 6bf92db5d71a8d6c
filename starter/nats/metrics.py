"""What became of messages, counted by the process that had them."""

from prometheus_client import REGISTRY, CollectorRegistry

from shared import metric_names as names
from shared.metric_instruments import instruments_of


class NatsMetrics:
    """Counters of `taskflow nats`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        of = instruments_of(registry).of
        self.received = of(names.NATS_RECEIVED)
        self.redelivered = of(names.NATS_REDELIVERED)
        self.started = of(names.NATS_STARTED)
        self.unmatched = of(names.NATS_UNMATCHED)
        self.parked = of(names.NATS_PARKED)
        self.dropped = of(names.NATS_DROPPED)
        self.naks = of(names.NATS_NAKS)
