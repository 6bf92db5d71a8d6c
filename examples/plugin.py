"""A plugin: `uvicorn --app-dir examples plugin:app --port 8089`. See docs/plugin-authors.md."""

import asyncio
import os
from pathlib import Path

from pydantic import JsonValue

from pluginkit import Call, Plugin, PluginError, SqliteStore

plugin = Plugin(
    secret=Path(os.environ["PLUGIN_SECRET_FILE"]),
    scheduler_url=os.environ["SCHEDULER_URL"],
    store=SqliteStore(os.environ["PLUGIN_STORE"]),
)


@plugin.action("report-builder", accept_after=0.2)
async def build(call: Call) -> JsonValue:
    """Reads `params.rows` rows, and says how far it is; the file of the report is its key's."""
    rows = call.params.get("rows", 3)
    if not isinstance(rows, int):
        raise PluginError("INVALID_PARAMS", "rows must be a whole number", retryable=False)
    for row in range(rows):
        await asyncio.sleep(0.3)
        await call.progress({"rows": row + 1}, "reading")
    return {"rows": rows}


app = plugin.asgi()
