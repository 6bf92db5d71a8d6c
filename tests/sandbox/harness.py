"""Starts sandboxes as processes of their own, and calls plugins as the scheduler does."""

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sandbox.client import Delivery, SandboxClient

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GRANTED = {"granted": True, "reason": None, "retry_after": None}


@dataclass
class Sandbox:
    """A running sandbox: its process, its address, its log."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """SIGTERM, then as `ended`."""
        self.process.terminate()
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for the end: the exit code and all of standard error."""
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors

    @contextlib.asynccontextmanager
    async def clients(self) -> AsyncIterator[tuple[SandboxClient, httpx.AsyncClient]]:
        """The control client, and a plain one for calls to plugins."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and made faster than httpx's
        async with (
            SandboxClient(self.url) as control,
            httpx.AsyncClient(base_url=self.url, timeout=5, verify=tls, trust_env=False) as http,
        ):
            yield control, http

    def lines(self) -> list[dict[str, Any]]:
        """The log as it stands on disk."""
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]


def command(log: Path, *arguments: str) -> list[str]:
    """The command line of a sandbox."""
    return [sys.executable, "-m", "sandbox", "--log", str(log), *arguments]


def run(log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A sandbox that is expected to end by itself."""
    return subprocess.run(
        command(log, *arguments), capture_output=True, text=True, timeout=10, check=False
    )


@contextlib.contextmanager
def running(log: Path, *arguments: str) -> Iterator[Sandbox]:
    """A sandbox on a free port, killed at the end if the test did not end it."""
    with subprocess.Popen(
        command(log, "--port", "0", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            announced = process.stdout.readline()
            assert announced.startswith("sandbox: http://127.0.0.1:"), announced
            yield Sandbox(process, announced.removeprefix("sandbox: ").strip(), log)
        finally:
            if process.poll() is None:
                process.kill()


def new_key() -> str:
    """An idempotency key that no other test uses."""
    return f"run/acme/daily-report/{uuid.uuid4()}"


def body(**changes: Any) -> dict[str, Any]:
    """A valid body of an execute call, with changes."""
    return {
        "run_id": "run/acme/daily-report/2026-11-23T02:00:00Z",
        "attempt": 1,
        "tenant_id": "acme",
        "task_id": "daily-report",
        "params": {"scope": "all"},
        "trigger": {"kind": "cron", "nominal_time": "2026-11-23T02:00:00Z"},
        "deadline": "2026-11-23T02:10:00+00:00",
        "fence": 1,
    } | changes


def request(plugin_id: str, key: str | None = None, **changes: Any) -> dict[str, Any]:
    """The arguments of httpx for a valid execute call; `changes` go into the body."""
    return {
        "url": f"/plugin/runtime/{plugin_id}/execute",
        "json": body(**changes),
        "headers": {"Idempotency-Key": key or new_key(), "traceparent": TRACEPARENT},
    }


async def execute(
    http: httpx.AsyncClient, plugin_id: str, key: str | None = None, **changes: Any
) -> httpx.Response:
    """Call a plugin with a valid request; `changes` go into the body."""
    return await http.post(**request(plugin_id, key, **changes))


async def until_arrived(
    sandbox: SandboxClient, count: int = 1, *, ended: bool = False
) -> list[Delivery]:
    """Wait until so many deliveries have arrived, or are over; all deliveries."""
    async with asyncio.timeout(5):
        while True:
            found = await sandbox.deliveries()
            if len([d for d in found if d.ended_at is not None or not ended]) >= count:
                return found
            await asyncio.sleep(0.02)


async def cancel(
    http: httpx.AsyncClient, plugin_id: str, key: str, *, path: str | None = None
) -> httpx.Response:
    """Ask a plugin to cancel the execution of a key; `path` writes the key another way."""
    return await http.delete(
        f"/plugin/runtime/{plugin_id}/executions/{path or key}",
        headers={"Idempotency-Key": key, "traceparent": TRACEPARENT},
    )


def capacity_call(
    reservation_id: str, action: str = "reserve", *, resources: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The arguments of httpx for a valid request of capacity."""
    body: dict[str, Any] = {
        "reservation_id": reservation_id,
        "action": action,
        "tenant_id": "acme",
        "task_id": "daily-report",
    }
    if action == "reserve":
        body |= {
            "resources": dict(resources or {}),
            "start": "2026-11-23T02:00:00+00:00",
            "duration": 90.5,
        }
    return {
        "url": "/ops/capacity/reserve",
        "json": body,
        "headers": {
            "Idempotency-Key": f"{reservation_id}/{action}",
            "traceparent": TRACEPARENT,
        },
    }


async def reserve(http: httpx.AsyncClient, reservation_id: str, **resources: int) -> dict[str, Any]:
    """Ask for resources; the body of the 200."""
    answer = await http.post(**capacity_call(reservation_id, resources=resources))
    assert answer.status_code == 200
    return dict(answer.json())


async def release(http: httpx.AsyncClient, reservation_id: str) -> dict[str, Any]:
    """Give a reservation back; the body of the 200."""
    answer = await http.post(**capacity_call(reservation_id, "release"))
    assert answer.status_code == 200
    return dict(answer.json())


def breach(breach_id: str = "run/a/finish", **changes: Any) -> dict[str, Any]:
    """The arguments of httpx for a valid notification; `changes` go into the body."""
    return {
        "url": "/notifications/sla-breach",
        "json": {
            "breach_id": breach_id,
            "kind": "FINISH",
            "tenant_id": "acme",
            "task_id": "daily-report",
            "run_id": "run/a",
            "expected_by": "2026-11-23T02:30:00Z",
            "observed_at": "2026-11-23T02:30:00.125Z",
            "severity": "high",
            "message": "run/a is not done",
            "work_order": None,
        }
        | changes,
        "headers": {"Idempotency-Key": breach_id, "traceparent": TRACEPARENT},
    }


def code_of(answer: httpx.Response) -> str:
    """The code of a problem, after checking that it is one."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    return str(problem["code"])
