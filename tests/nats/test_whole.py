"""From NATS to runs: `taskflow nats`, a real nats-server and a real Temporal."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.js.errors import NotFoundError
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.ids import event_run_id
from domain.policy import Policy
from domain.run import TaskRunInput
from shared.settings import Settings
from starter import rates, rules
from starter.api.link import TemporalLink
from starter.dev.ports import Wanted, settle
from starter.nats import __main__ as command
from starter.nats.running import taking
from starter.rules import Rules
from tests.nats.harness import Consuming, Place, consuming, event, place_on
from tests.nats.server import NatsServer
from tests.proxy import way_to
from tests.starter.harness import TASKFLOW, eventually_async
from tests.starter.limits import Limits, said
from tests.watch.processes import process

TYPE = "order.created"
SHARED = 200


@pytest.fixture(scope="module")
async def limits(temporal: Client, policy: Policy) -> AsyncIterator[Limits]:
    """Registries and governors answer; no run is taken up by a worker."""
    made = Limits(temporal, policy)
    async with made.working():
        yield made


@pytest.fixture
async def mine(nats_server: NatsServer, limits: Limits) -> AsyncIterator[Place]:
    """A stream of its own, and a tenant of its own whose task runs for each order above 100."""
    await nats_server.serving()
    async with place_on(nats_server.url, task_queue=limits.queue) as place:
        place.tenant = f"t{uuid4().hex[:10]}"
        trigger = {"event": TYPE, "filter": "data.amount > 100"}
        await limits.apply(said(place.tenant, triggers=[trigger]))
        yield place


class Runs:
    """What Temporal has of a tenant's events."""

    def __init__(self, client: Client, tenant: str) -> None:
        self._client = client
        self._tenant = tenant

    async def started_with(self, event_id: str) -> dict[str, Any]:
        """The event that the run of an event was started with. Errors: `RPCError` if none was."""
        run_id = event_run_id(self._tenant, "t", "/shop", event_id)
        history = await self._client.get_workflow_handle(run_id).fetch_history()
        given = history.events[0].workflow_execution_started_event_attributes.input.payloads
        [request] = await self._client.data_converter.decode(given, [TaskRunInput])
        return dict(request.event.event)

    async def count(self) -> int:
        """How many there are."""
        return (await self._client.count_workflows(f"TenantId = '{self._tenant}'")).count


@asynccontextmanager
async def joined(place: Place, address: str) -> AsyncIterator[Consuming]:
    """The consumer in this process, with the real service and a connection of its own."""

    async def reach(patience: float) -> Client:
        return await Client.connect(address, data_converter=pydantic_data_converter)

    link = TemporalLink(2.0, reach)
    known = Rules(link.client, place.settings.task_queue)
    async with known.live(), consuming(place, taking(link.client, known)) as consumer:
        yield consumer
    await link.close()


async def test_a_process_killed_before_it_acknowledges_leaves_one_run_and_another_goes_on(
    mine: Place, temporal: Client, tmp_path: Path
) -> None:
    """Twice delivered, once run, with the whole event; and each thing is counted and logged."""
    await mine.consumer(ack_wait=1.0)
    [port] = settle([Wanted("metrics", "", 0)])
    runs = Runs(temporal, mine.tenant)
    environment = _environment(mine, temporal)
    await mine.publish(event(id="e1", data={"amount": 250}))
    with process(
        tmp_path / "killed.log", sys.executable, "-m", "tests.nats.killed", **environment
    ) as killed:
        assert await asyncio.to_thread(killed.wait, 30) == -signal.SIGKILL
    assert (await mine.state()).num_ack_pending == 1
    before = await runs.started_with("e1")
    arguments = [str(TASKFLOW), "nats", "--metrics-port", str(port)]
    with process(tmp_path / "nats.log", *arguments, **environment) as second:
        await mine.publish(event(id="small", data={"amount": 5}))
        await mine.publish(b"{")
        await eventually_async(lambda: _counted(mine, 3), within=30)
        async with httpx.AsyncClient() as http:
            metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        second.terminate()
        assert await asyncio.to_thread(second.wait, 15) == 0
    assert before == await runs.started_with("e1")
    assert before == json.loads(event(id="e1", data={"amount": 250}))
    await eventually_async(lambda: _is(runs.count, 1))
    samples = re.findall(r"^(task_nats_\w+) (\S+)$", metrics, re.MULTILINE)
    counted = {name: float(value) for name, value in samples}
    assert counted["task_nats_redelivered_total"] >= 1
    for name in ("started", "unmatched", "parked"):
        assert counted[f"task_nats_{name}_total"] == 1, name
    lines = [json.loads(line) for line in (tmp_path / "nats.log").read_text().splitlines()]
    outcomes = {line["stream_sequence"]: line["outcome"] for line in lines if "outcome" in line}
    assert outcomes == {1: "started", 2: "unmatched", 3: "parked"}
    assert lines[-1]["action"] == "nats_stopped"


async def test_processes_share_events_and_each_has_one_run(mine: Place, temporal: Client) -> None:
    """However many take from one durable consumer."""
    address = temporal.service_client.config.target_host
    async with joined(mine, address) as first, joined(mine, address) as second:
        await eventually_async(lambda: mine.waited_for(2))
        for number in range(SHARED):
            await mine.publish(event(id=str(number), data={"amount": 101 + number}))
        await eventually_async(lambda: _counted(mine, SHARED), within=40)
        assert first.count("started") + second.count("started") >= SHARED
        assert min(first.count("started"), second.count("started")) > 0
    await eventually_async(lambda: _is(Runs(temporal, mine.tenant).count, SHARED))


async def test_an_outage_of_temporal_for_some_seconds_loses_no_event(
    mine: Place, temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile waits at NATS; also what no task is known to want, by old rules."""
    monkeypatch.setattr(rules, "OLD", 0.5)
    monkeypatch.setattr(rules, "EVERY", 0.1)
    async with (
        way_to(temporal.service_client.config.target_host) as way,
        joined(mine, way.address) as consumer,
    ):
        await mine.publish(event(id="before", data={"amount": 101}))
        await eventually_async(lambda: _counted(mine, 1))
        way.close()
        await asyncio.sleep(1)
        await mine.publish(event(id="small", data={"amount": 5}))
        for number in range(5):
            await mine.publish(event(id=f"e{number}", data={"amount": 101}))
        await asyncio.sleep(3)
        assert (consumer.count("started"), consumer.count("unmatched")) == (1, 0)
        assert consumer.count("naks", reason="unreachable") >= 1
        await way.open()
        await eventually_async(lambda: _counted(mine, 7), within=40)
        assert (consumer.count("started"), consumer.count("unmatched")) == (6, 1)


async def test_a_rule_that_had_enough_starts_the_rest_later(
    mine: Place, limits: Limits, temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events wait at NATS for as long as the rule says."""
    monkeypatch.setattr(rates, "WINDOW", 2.0)
    await limits.apply(said(mine.tenant, triggers=[{"event": TYPE, "max_events_per_minute": 2}]))
    async with joined(mine, temporal.service_client.config.target_host) as consumer:
        for number in range(5):
            await mine.publish(event(id=str(number)))
        await eventually_async(lambda: _counted(mine, 5), within=30)
        assert consumer.count("started") == 5
        assert consumer.count("naks", reason="limited") >= 3
    await eventually_async(lambda: _is(Runs(temporal, mine.tenant).count, 5))


@dataclass(frozen=True)
class Trouble:
    """Settings, what is not installed, and how the process ends of it."""

    message: str
    code: int = 2
    lacking: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("needs nats-py, which is not installed: pip install", lacking="nats"),
        Trouble("needs nkeys", lacking="nkeys", settings={"nats_creds_file": __file__}),
        Trouble("/nowhere: cannot be read", settings={"nats_creds_file": "/nowhere"}),
        Trouble("TASKFLOW_NATS_URL: must be nats://HOST", settings={"nats_url": "http://x"}),
        Trouble("TASKFLOW_NATS_SUBJECT: '>' is not", settings={"nats_subject": ">"}),
        Trouble("Make it with `taskflow nats --create-stream`", 1, settings={"nats_stream": "NO"}),
    ],
    ids=lambda trouble: trouble.message,
)
def test_a_process_that_cannot_work_says_what_to_do(
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: Trouble,
) -> None:
    """2 for what is wrong here, 1 for what is wrong in NATS."""
    settings = Settings(**{"nats_url": nats_server.url, **trouble.settings})
    monkeypatch.setattr(command, "get_settings", lambda: settings)
    monkeypatch.setattr(
        command, "find_spec", lambda name: None if name == trouble.lacking else find_spec(name)
    )
    monkeypatch.setattr(sys, "argv", ["nats"])
    assert command.main() == trouble.code
    assert trouble.message in capsys.readouterr().err


def _environment(place: Place, temporal: Client) -> dict[str, str]:
    names = ("nats_url", "nats_stream", "nats_subject", "nats_parked_subject", "task_queue")
    return {
        "TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        **{f"TASKFLOW_{name.upper()}": getattr(place.settings, name) for name in names},
    }


async def _counted(place: Place, count: int) -> bool:
    """Whether so many messages of the stream were acknowledged, and none is left."""
    try:
        found = await place.state()
    except NotFoundError:
        return False
    return found.ack_floor is not None and found.ack_floor.stream_seq == count


async def _is(look: Callable[[], Any], value: int) -> bool:
    return bool(await look() == value)
