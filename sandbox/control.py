"""The app: the routes of the outside world, and those with which a test sets and reads it.

Control routes answer JSON; every refusal is problem+json.

- `PUT /control/plugins/{plugin_id}` with `{latency, script, result, cancel, reports}` -> 200 the
  knobs as set (what is left out goes back to its default)
- `GET /control/plugins` -> `{"plugins": {plugin_id: knobs}}`
- `DELETE /control/plugins/{plugin_id}` -> 204, also when there was nothing
- `GET /control/deliveries?plugin_id=&task_id=&key=` -> `{"deliveries": [...]}`, by arrival: who
  (`key`, `delivery`, `attempt`, `fence`, `plugin_id`, `tenant_id`, `task_id`, `run_id`), what
  (`params`, `deadline`, `nonce`, `compensates`, `traceparent`) and what became of it
  (`started_at`, `ended_at`, `outcome`, `effect`, `cancelled`)
- `POST /control/effects` with `{key}` -> 204; a key answered `accept-later` has its effect now,
  with the result of its plugin's knobs; 404 for a key that never came, 409 for a cancelled one
- `GET /control/cancellations` -> `{"cancellations": [{"key", "plugin_id", "at", "answered"}]}`,
  by arrival; `answered` is the status
- `PUT /control/capacity` with `{limits, script, latency}` -> 200 the knobs as set
- `GET /control/capacity` -> `{"reserved": {reservation_id: {...}}, "in_use": {resource: n},
  "requests": n}`
- `PUT /control/notifications` with `{script, latency}` -> 200 the knobs as set
- `GET /control/notifications` -> `{"notifications": [{... the body, "work_order_id", "received": n,
  "at"}], "requests": n}`, each breach once; `received` counts every request of its id
- `PUT /control/sinks/{name}` with `{secret, script, latency}` -> 200 the knobs as set
- `GET /control/sinks/{name}` -> `{"events": [...], "requests": n, "repeats": n}`, each event once
  and as sent, by arrival; requests that were refused do not count
- `POST /control/reset` -> 204; knobs are those of the config file again, memory is empty
- `GET /healthz` -> `{"status": "ok"}`
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel
from starlette.routing import Route

from sandbox import problems
from sandbox.cancellation import Cancellation
from sandbox.capacity import CapacityKnobs, CapacityService
from sandbox.journal import Journal
from sandbox.knobs import Knobs, PluginId
from sandbox.notifications import NotificationService
from sandbox.runtime import CancelledKeyError, NoSchedulerError, PluginRuntime, UnknownKeyError
from sandbox.scripted import ServiceKnobs
from sandbox.sinks import EventSinks, SinkKnobs

EXECUTION_PATH = "/plugin/runtime/{plugin_id}/executions/{run_id:path}"


class EffectOf(BaseModel):
    """The key whose effect happens now."""

    key: str


@dataclass(frozen=True)
class World:
    """What the sandbox plays: one endpoint for each route of the outside world."""

    runtime: PluginRuntime
    cancellation: Cancellation
    capacity: CapacityService
    notifications: NotificationService
    sinks: EventSinks


def create_app(world: World, journal: Journal) -> FastAPI:
    """The ASGI app of the sandbox; its shutdown ends accepted work and closes the journal."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await world.runtime.close()
        await journal.close()

    app = FastAPI(title="sandbox", docs_url=None, redoc_url=None, lifespan=lifespan)
    problems.install(app)
    # First in the list, so that a request of a benchmark is matched at once.
    app.router.routes[:0] = [
        Route("/plugin/runtime/{plugin_id}/execute", world.runtime, methods=["POST"]),
        Route(EXECUTION_PATH, world.cancellation, methods=["DELETE"]),
        Route("/ops/capacity/reserve", world.capacity, methods=["POST"]),
        Route("/notifications/sla-breach", world.notifications, methods=["POST"]),
        Route("/events/{name}", world.sinks, methods=["POST"]),
    ]
    _add_plugins(app, world.runtime)
    _add_services(app, world)
    return app


def _add_plugins(app: FastAPI, runtime: PluginRuntime) -> None:
    @app.put("/control/plugins/{plugin_id}")
    async def configure(plugin_id: PluginId, knobs: Knobs) -> Knobs:
        try:
            runtime.configure(plugin_id, knobs)
        except NoSchedulerError as error:
            raise HTTPException(422, str(error)) from error
        return knobs

    @app.get("/control/plugins")
    async def plugins() -> dict[str, dict[str, Knobs]]:
        return {"plugins": runtime.knobs}

    @app.delete("/control/plugins/{plugin_id}", status_code=204)
    async def remove(plugin_id: PluginId) -> None:
        runtime.knobs.pop(plugin_id, None)

    @app.get("/control/deliveries")
    async def deliveries(
        plugin_id: str | None = None, task_id: str | None = None, key: str | None = None
    ) -> Response:
        found = runtime.ledger.find(plugin_id=plugin_id, task_id=task_id, key=key)
        body = json.dumps({"deliveries": [entry.view() for entry in found]})
        return Response(body, media_type="application/json")

    @app.post("/control/effects", status_code=204)
    async def effect(done: EffectOf) -> None:
        try:
            await runtime.effect_later(done.key)
        except UnknownKeyError as error:
            raise HTTPException(404, str(error)) from error
        except CancelledKeyError as error:
            raise HTTPException(409, str(error)) from error

    @app.get("/control/cancellations")
    async def cancellations() -> dict[str, list[dict[str, Any]]]:
        shown = ("key", "plugin_id", "at", "answered")
        return {
            "cancellations": [
                {name: value for name, value in line.items() if name in shown}
                for line in runtime.ledger.cancellations
            ]
        }


def _add_services(app: FastAPI, world: World) -> None:
    @app.put("/control/capacity")
    async def configure_capacity(knobs: CapacityKnobs) -> CapacityKnobs:
        world.capacity.knobs = knobs
        return knobs

    @app.get("/control/capacity")
    async def reservations() -> dict[str, Any]:
        return world.capacity.ledger.reservations.view()

    @app.put("/control/notifications")
    async def configure_notifications(knobs: ServiceKnobs) -> ServiceKnobs:
        world.notifications.knobs = knobs
        return knobs

    @app.get("/control/notifications")
    async def notifications() -> dict[str, Any]:
        return world.notifications.ledger.notifications.view()

    @app.put("/control/sinks/{name}")
    async def configure_sink(name: PluginId, knobs: SinkKnobs) -> SinkKnobs:
        world.sinks.knobs[name] = knobs
        return knobs

    @app.get("/control/sinks/{name}")
    async def sink(name: PluginId) -> Response:
        found = world.sinks.ledger.sink(name).view()
        return Response(json.dumps(found), media_type="application/json")

    @app.post("/control/reset", status_code=204)
    async def reset() -> None:
        world.capacity.knobs = CapacityKnobs()
        world.notifications.knobs = ServiceKnobs()
        world.sinks.knobs.clear()
        await world.runtime.reset()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}
