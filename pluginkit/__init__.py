"""For authors of plugins in Python: the runtime contract of docs/plugins.md as a small ASGI app.

    plugin = Plugin(secret=Path("/run/secrets/taskflow"), scheduler_url="https://taskflow.internal")

    @plugin.action("report-builder")
    async def build(call: Call) -> JsonValue:
        return {"rows": await count(call.params)}

    app = plugin.asgi()

- `plugin`: the actions, the settings and the app; `app`: its routes; `secrets`: who may call;
- `requests`: what a caller must send; `problems`: refusals; `answers`: how work ends;
- `keys`: the rules of idempotency keys and fences, without I/O; `stores`, `sqlite_store`: where
  they are remembered;
- `call`: what work gets to see; `work`: one piece of it; `executions`: all of them;
- `reports`, `heralds`: what the scheduler is told of work that takes long;
- `testing`: a scheduler in a test.
"""

from pluginkit.answers import PluginError
from pluginkit.call import Call
from pluginkit.plugin import Plugin
from pluginkit.sqlite_store import SqliteStore
from pluginkit.stores import MemoryStore, Store, StoreError

__all__ = [
    "Call",
    "MemoryStore",
    "Plugin",
    "PluginError",
    "SqliteStore",
    "Store",
    "StoreError",
]
