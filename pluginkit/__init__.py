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

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOMES = {
    "Call": "call",
    "MemoryStore": "stores",
    "Plugin": "plugin",
    "PluginError": "answers",
    "SqliteStore": "sqlite_store",
    "Store": "stores",
    "StoreError": "stores",
}


def __getattr__(name: str) -> object:
    """Loads what is asked for: who needs only the rules does not wait for an HTTP client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
