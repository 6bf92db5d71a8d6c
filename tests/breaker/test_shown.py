"""What people are shown of breakers: the service, the command, the doctor."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from domain.outcomes import CircuitState
from shared.errors import NotFound
from starter.breakers import BreakerRow, list_breakers, view
from starter.doctor import check_plugins
from tests.breaker.harness import Scene
from tests.starter.harness import eventually_async

TASKFLOW = Path(sys.executable).with_name("taskflow")


async def taskflow(client: Client, *arguments: str) -> str:
    """What a command prints."""
    address = client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        TASKFLOW,
        *arguments,
        env=os.environ | {"TEMPORAL_ADDRESS": address},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def listed(scene: Scene) -> BreakerRow | None:
    """The row of the scene's plugin."""
    rows = await list_breakers(scene.client)
    return next((r for r in rows if r.circuit.plugin_id == scene.plugin.plugin_id), None)


async def test_an_open_breaker_is_listed_and_named_by_the_doctor(scene: Scene) -> None:
    """Plugin, state, since when, why, the next probe, how many failed, which work order."""
    plugin_id = scene.plugin.plugin_id
    async with scene.process() as caller:
        await scene.opens(caller)

        async def is_listed() -> bool:
            row = await listed(scene)
            return row is not None and row.is_open

        await eventually_async(is_listed)
        row = await view(scene.client, plugin_id)
        assert row.circuit.state is CircuitState.OPEN
        assert row.next_probe
        assert row.next_probe > row.since
        check = await check_plugins(scene.client)
        assert not check.ok
        assert plugin_id in check.detail
        assert "taskflow breakers" in check.fix
        document = json.loads(await taskflow(scene.client, "breakers", "--json"))
        [found] = [b for b in document["breakers"] if b["plugin_id"] == plugin_id]
        expected: dict[str, Any] = {
            "state": "OPEN",
            "known": True,
            "failures": 12,
            "successes": 0,
            "incident_failures": 12,
            "failed_probes": 0,
            "probe": None,
        }
        assert {name: found[name] for name in expected} == expected
        assert found["work_order_id"].startswith(f"work-order/breaker/{plugin_id}/")
        assert found["samples"][0]["error_code"] == "PLUGIN_UNAVAILABLE"
        table = await taskflow(scene.client, "breakers")
        assert plugin_id in table
        assert "12 of 12 calls within 60 s failed" in table


async def test_a_plugin_without_failures_has_no_breaker(scene: Scene) -> None:
    """And it is said so."""
    assert await listed(scene) is None
    with pytest.raises(NotFound):
        await view(scene.client, scene.plugin.plugin_id)


async def test_a_breaker_ends_when_all_was_well_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later failure starts it anew."""
    monkeypatch.setattr("domain.breaker.IDLE_S", 2.0)
    async with scene.process() as caller:
        await caller.attempt("t", "r1")
        await eventually_async(lambda: scene.is_("CLOSED"))

        async def has_ended() -> bool:
            return await scene.view() is None

        await eventually_async(has_ended)
        await scene.opens(caller)
