"""A client of the sandbox's control routes, for tests, demo and benchmarks.

async with SandboxClient("http://127.0.0.1:9700") as sandbox:
    await sandbox.configure("report-builder", script=["503", "ok"])
    ...
    assert len(await sandbox.deliveries(task_id="daily-report")) == 2
"""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Literal, Self

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter


class Delivery(BaseModel):
    """One delivery to a plugin, as the sandbox saw it.

    `delivery` counts from 1 within the key. `ended_at`, `outcome` and `effect` are None while it
    is under way; `effect` also when the delivery stands for no effect. `cancelled` is of the key.
    `compensates` is the id of the run that the call compensates.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    delivery: int
    attempt: int
    fence: int
    plugin_id: str
    tenant_id: str
    task_id: str
    run_id: str
    traceparent: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    outcome: str | None
    effect: int | None
    cancelled: bool = False
    nonce: str | None = None
    compensates: str | None = None
    params: dict[str, JsonValue] = Field(default_factory=dict)
    deadline: AwareDatetime | None = None


class Cancellation(BaseModel):
    """One request to cancel the execution of a key; `answered` is the status of the answer."""

    model_config = ConfigDict(frozen=True)

    key: str
    plugin_id: str
    at: AwareDatetime
    answered: int


class Reservation(BaseModel):
    """What the capacity service holds for one reservation id, and since when."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    task_id: str
    resources: dict[str, int]
    at: AwareDatetime


class Capacity(BaseModel):
    """The capacity service now: what is held, by id and in sum, and all requests that came."""

    model_config = ConfigDict(frozen=True)

    reserved: dict[str, Reservation]
    in_use: dict[str, int]
    requests: int


class Notification(BaseModel):
    """A breach that people were told of, and the work order it got.

    `received` counts every request of its id, those that failed too; `at` is when it was taken.
    """

    model_config = ConfigDict(frozen=True)

    breach_id: str
    kind: str
    tenant_id: str
    task_id: str
    run_id: str
    expected_by: AwareDatetime | None
    observed_at: AwareDatetime
    severity: str
    message: str
    work_order: dict[str, JsonValue] | None
    work_order_id: str | None
    received: int
    at: AwareDatetime


class Notifications(BaseModel):
    """The notification service now: each breach once, by arrival, and all requests that came."""

    model_config = ConfigDict(frozen=True)

    notifications: list[Notification]
    requests: int


class Sink(BaseModel):
    """A sink now: each event once and as sent, by arrival, with repeats and requests counted."""

    model_config = ConfigDict(frozen=True)

    events: list[dict[str, JsonValue]]
    requests: int
    repeats: int


class _Deliveries(BaseModel):
    deliveries: list[Delivery]


class _Cancellations(BaseModel):
    cancellations: list[Cancellation]


_DELIVERIES = TypeAdapter(_Deliveries)


class SandboxError(Exception):
    """The sandbox refused a control request; the message is its status and body."""


class SandboxClient:
    """Sets and reads the plugins of one sandbox.

    `base_url` as the sandbox prints it. Methods raise SandboxError when the sandbox refuses and
    httpx.TransportError when it cannot be reached.
    """

    def __init__(self, base_url: str, *, timeout: float = 30.0) -> None:
        """`timeout` in seconds, for each request."""
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout,
            # A proxy of the environment has no business between two local processes.
            trust_env=False,
            # The sandbox speaks plain HTTP: reading the machine's certificates is wasted time.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def configure(
        self,
        plugin_id: str,
        *,
        latency: float = 0.0,
        script: Sequence[str] = ("ok",),
        result: JsonValue = None,
        cancel: Literal["supported", "unsupported"] = "supported",
        reports: Literal["progress", "end"] = "progress",
    ) -> None:
        """Set all knobs of a plugin: `latency` in seconds, `script` as in `sandbox.knobs`."""
        knobs: dict[str, JsonValue] = {
            "latency": latency,
            "script": list(script),
            "result": result,
            "cancel": cancel,
            "reports": reports,
        }
        await self._call("PUT", f"/control/plugins/{plugin_id}", json=knobs)

    async def remove(self, plugin_id: str) -> None:
        """Take the knobs of a plugin away: it succeeds at once again."""
        await self._call("DELETE", f"/control/plugins/{plugin_id}")

    async def deliveries(
        self,
        *,
        plugin_id: str | None = None,
        task_id: str | None = None,
        key: str | None = None,
    ) -> list[Delivery]:
        """Deliveries since the last reset in order of arrival; None asks for any."""
        wanted = {"plugin_id": plugin_id, "task_id": task_id, "key": key}
        params = {name: value for name, value in wanted.items() if value is not None}
        answer = await self._call("GET", "/control/deliveries", params=params)
        return _DELIVERIES.validate_json(answer.content).deliveries

    async def effect(self, key: str) -> None:
        """What was answered with `accept-later` is done now; a second time changes nothing."""
        await self._call("POST", "/control/effects", json={"key": key})

    async def cancellations(self) -> list[Cancellation]:
        """Requests to cancel since the last reset, in order of arrival."""
        answer = await self._call("GET", "/control/cancellations")
        return _Cancellations.model_validate_json(answer.content).cancellations

    async def configure_capacity(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        script: Sequence[str] = ("ok",),
        latency: float = 0.0,
    ) -> None:
        """Set all knobs of the capacity service, as in `sandbox.capacity`; it holds what it held.

        A resource that `limits` does not name has no end; `latency` in seconds.
        """
        knobs: dict[str, JsonValue] = {
            "limits": dict(limits or {}),
            "script": list(script),
            "latency": latency,
        }
        await self._call("PUT", "/control/capacity", json=knobs)

    async def capacity(self) -> Capacity:
        """What the capacity service holds and how often it was asked, since the last reset."""
        answer = await self._call("GET", "/control/capacity")
        return Capacity.model_validate_json(answer.content)

    async def configure_notifications(
        self, *, script: Sequence[str] = ("ok",), latency: float = 0.0
    ) -> None:
        """Set all knobs of the notification service: `script` as in `sandbox.scripted`."""
        knobs: dict[str, JsonValue] = {"script": list(script), "latency": latency}
        await self._call("PUT", "/control/notifications", json=knobs)

    async def notifications(self) -> Notifications:
        """What the notification service was told since the last reset."""
        answer = await self._call("GET", "/control/notifications")
        return Notifications.model_validate_json(answer.content)

    async def configure_sink(
        self,
        name: str,
        *,
        secret: str | None = None,
        script: Sequence[str] = ("ok",),
        latency: float = 0.0,
    ) -> None:
        """Set all knobs of a sink for events: `secret` as `whsec_<base64>`, None for none."""
        knobs: dict[str, JsonValue] = {
            "secret": secret,
            "script": list(script),
            "latency": latency,
        }
        await self._call("PUT", f"/control/sinks/{name}", json=knobs)

    async def sink(self, name: str) -> Sink:
        """The events that came to a sink since the last reset."""
        answer = await self._call("GET", f"/control/sinks/{name}")
        return Sink.model_validate_json(answer.content)

    async def reset(self) -> None:
        """Knobs back to the config file, memory empty; the log keeps its lines, with a mark."""
        await self._call("POST", "/control/reset")

    async def wait_ready(self, seconds: float = 10.0) -> None:
        """Return when the sandbox answers; raises TimeoutError after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            try:
                await self._call("GET", "/healthz")
            except httpx.TransportError as error:
                if time.monotonic() > end:
                    raise TimeoutError(f"no sandbox at {self._http.base_url}") from error
                await asyncio.sleep(0.05)
            else:
                return

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: JsonValue = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        answer = await self._http.request(method, path, json=json, params=params)
        if answer.is_error:
            raise SandboxError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer
