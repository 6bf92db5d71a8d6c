"""A Temporal server for a benchmark that needs nothing else."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client

from shared.search_attributes import register_search_attributes
from starter.dev.options import DevOptions
from starter.dev.stack import dev_stack


@asynccontextmanager
async def fresh_server() -> AsyncIterator[Client]:
    """Empty, on a file that goes with it."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as folder:
        options = DevOptions(
            port=0,
            headless=True,
            db=Path(folder) / "temporal.db",
            state_dir=Path(folder) / "state",
            parts=("temporal",),
        )
        async with dev_stack(options) as stack:
            client = await stack.connect()
            await register_search_attributes(client)
            yield client
