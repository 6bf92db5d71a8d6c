"""`python -m tests.metrics.overflow ADDRESS`: runs beside a buffer that nobody empties."""

import asyncio
import json
import sys

from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from shared.sdk_metrics import SdkMetrics
from tests.starter.harness import eventually_async
from tests.workflows.harness import Runs, succeed

LABELS = {"reason": "buffer_full"}


async def main(address: str) -> None:
    """Three runs, and then what the registry has to say."""
    registry = CollectorRegistry()
    metrics = SdkMetrics(registry, size=50)
    client = await Client.connect(
        address, data_converter=pydantic_data_converter, runtime=metrics.runtime
    )
    runs, ended = Runs(client), []
    async with runs.worker():
        for _ in range(3):
            result = await (await runs.start(runs.script(succeed()))).result()
            ended.append(result.status.value)

    async def told() -> float:
        return registry.get_sample_value("task_metrics_lost_total", LABELS) or 0.0

    await eventually_async(told, within=20)  # the SDK hands its lines over in batches
    lost = await told()
    sys.stdout.write(json.dumps({"ended": ended, "lost": lost}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
