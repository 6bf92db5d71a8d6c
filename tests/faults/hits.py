"""Carries out what was drawn: signals to processes, and ways that are closed or bad."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio.service import RPCError

from domain.ids import governor_id
from tests.faults.blows import Blow
from tests.faults.door import Door
from tests.killed.stack import Stack
from tests.killed.workers import Worker
from tests.proxy import Answers, Way
from tests.starter.harness import eventually_async

WORKERS = 2


@dataclass(slots=True)
class Hits:
    """Blows overlap; what cannot meet the same thing twice at once waits for its turn."""

    stack: Stack
    door: Door
    tenants: list[str]
    say: Callable[[str], None]
    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    leaving: list[Worker] = field(default_factory=list)

    async def play(self, blows: list[Blow]) -> None:
        """Return when all is as it was, with as many workers."""
        under_way: list[asyncio.Task[None]] = []
        keeping = asyncio.create_task(self._keep())
        for blow in blows:
            await asyncio.sleep(blow.pause)
            under_way.append(asyncio.create_task(self._hit(blow)))
        await asyncio.gather(*under_way)
        await eventually_async(self._are_enough, within=90)
        keeping.cancel()

    async def _keep(self) -> None:
        """As whoever deploys workers does: one that is gone is replaced.

        A worker that begins while Temporal is away ends with a message, and another one begins.
        """
        while True:
            async with self.turns["workers"]:
                for _ in range(WORKERS - len(self.stack.alive())):
                    self.stack.start_worker()
            await asyncio.sleep(0.5)

    async def _are_enough(self) -> bool:
        return sum(worker.is_ready for worker in self.stack.alive()) >= WORKERS

    async def _hit(self, blow: Blow) -> None:
        self.say(str(blow))
        way, _, how = blow.fault.partition(": ")
        if how:
            async with self.turns[way]:
                await self._spoil(self.stack.ways[way], how, blow.lasts)
            return
        hits: dict[str, Callable[[Blow], Awaitable[None]]] = {
            "a worker is killed": self._kill_worker,
            "a worker stands still": self._freeze_worker,
            "a worker is told to stop": self._stop_worker,
            "all workers are killed": self._kill_workers,
            "the server is killed": self._kill_server,
            "the server stands still": self._freeze_server,
            "the API is killed": self._kill_api,
            "a governor is terminated": self._terminate_governor,
            "capacity talks nonsense": self._confuse_capacity,
        }
        await hits[blow.fault](blow)

    async def _spoil(self, way: Way, how: str, lasts: float) -> None:
        match how:
            case "broken":
                way.reset()
                return
            case "closed":
                way.close()
                await asyncio.sleep(lasts)
                await way.open()
                return
            case "silent":
                way.silent = True
            case _:
                way.answers = Answers(how)
        await asyncio.sleep(lasts)
        way.silent, way.answers = False, Answers.WHOLE
        way.reset()  # nobody can go on with half of what was said

    async def _kill_worker(self, blow: Blow) -> None:
        async with self.turns["workers"]:
            for worker in self._met(blow):
                worker.kill()

    async def _freeze_worker(self, blow: Blow) -> None:
        async with self.turns["workers"]:
            met = self._met(blow)
            for worker in met:
                worker.freeze()
        await asyncio.sleep(blow.lasts)
        for worker in met:
            worker.thaw()

    async def _stop_worker(self, blow: Blow) -> None:
        async with self.turns["workers"]:
            for worker in self._met(blow):
                worker.terminate()
                self.leaving.append(worker)

    async def _kill_workers(self, blow: Blow) -> None:
        async with self.turns["workers"]:
            for worker in self.stack.alive():
                worker.kill()
            await asyncio.sleep(blow.lasts)

    def _met(self, blow: Blow) -> list[Worker]:
        """One of those who live; nobody when nobody does at the moment."""
        alive = self.stack.alive()
        return [blow.one_of(alive)] if alive else []

    async def _kill_server(self, blow: Blow) -> None:
        async with self.turns["server"]:
            self.stack.server.child.kill()
            await asyncio.sleep(blow.lasts)
            await self.stack.server.start()

    async def _freeze_server(self, blow: Blow) -> None:
        async with self.turns["server"]:
            self.stack.server.child.freeze()
            await asyncio.sleep(blow.lasts)
            self.stack.server.child.thaw()

    async def _kill_api(self, blow: Blow) -> None:
        async with self.turns["API"]:
            self.door.kill()
            await asyncio.sleep(blow.lasts)
            await self.door.open()

    async def _terminate_governor(self, blow: Blow) -> None:
        async with self.turns["server"]:
            handle = self.stack.client.get_workflow_handle(governor_id(blow.one_of(self.tenants)))
            with contextlib.suppress(RPCError):  # it has not begun
                await handle.terminate()

    async def _confuse_capacity(self, blow: Blow) -> None:
        async with self.turns["nonsense"]:
            await self.stack.sandbox.configure_capacity(script=["garbage"])
            await asyncio.sleep(blow.lasts)
            await self.stack.sandbox.configure_capacity(script=["drop", "ok"], latency=0.1)
