"""What the worker asked of the server, by the counters of Temporal's SDK."""

from collections import Counter
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from starter.dev.ports import HOST

REQUESTS = {"temporal_request", "temporal_request_total"}
"""Calls that the server answers at once. Polls, which wait for a task, are counted elsewhere."""


class WorkerMetrics:
    """Reads the counters of the benchmark's worker; use it as a context."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}/metrics"
        self._http = httpx.AsyncClient(trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def requests(self) -> Counter[str]:
        """gRPC calls since the worker started, polls left out, by operation."""
        text = (await self._http.get(self._url)).raise_for_status().text
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in REQUESTS:
                    found[sample.labels["operation"]] += int(sample.value)
        return found
