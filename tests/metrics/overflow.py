"""`python -m tests.metrics.overflow ADDRESS`: runs beside a buffer that nobody empties."""

import asyncio
import json
import sys

from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from shared.leave import leave
from shared.sdk_metrics import SdkMetrics
from tests.starter.harness import eventually_async
from tests.workflows.harness import Runs, succeed

SIZE = 50
LABELS = {"reason": "buffer_full"}


async def main(address: str) -> None:
    """Three runs, and then what the registry has to say."""
    registry = CollectorRegistry()
    metrics = SdkMetrics(registry, size=SIZE)
    client = await Client.connect(
        address, data_converter=pydantic_data_converter, runtime=metrics.runtime
    )
    runs, ended = Runs(client), []
    async with runs.worker():
        for _ in range(3):
            result = await (await runs.start(runs.script(succeed()))).result()
            ended.append(result.status.value)

    def lost() -> float:
        return registry.get_sample_value("task_metrics_lost_total", LABELS) or 0.0

    async def more_than_fit() -> bool:
        return lost() > SIZE

    await eventually_async(more_than_fit, within=60)  # the SDK hands its lines over in batches
    sys.stdout.write(json.dumps({"ended": ended, "lost": lost()}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    leave(0)
