"""Many runs whose plugins fail them at first, each in a way of its own."""

import asyncio
from dataclasses import dataclass

from domain.states import RunState
from starter.runs import list_runs
from tests.killed.stack import Stack

WORDS = ("503", "reset", "truncate", "garbage", "429:1", "hang", "slow:4")
TENANTS = 4


@dataclass(frozen=True, slots=True)
class Mixture:
    """Runs of a few tenants; `name` is that of none other."""

    stack: Stack
    name: str

    @property
    def tenants(self) -> list[str]:
        """Those whose runs they are."""
        return [f"{self.name}-{number}" for number in range(TENANTS)]

    async def start(self, runs: int, *, plugins_of_each: int) -> None:
        """A run of as many tasks; half of them share a mutex group with another."""
        plugins = []
        for number in range(plugins_of_each):
            for word in WORDS:
                plugins.append(f"{self.name}-{word.replace(':', '-')}-{number}")
                await self.stack.sandbox.configure(plugins[-1], script=[word, "ok"])
        tasks = []
        for number in range(runs):
            row = number // TENANTS
            task = self.stack.task(
                self.tenants[number % TENANTS],
                f"t{number}",
                plugins[number % len(plugins)],
                timeout="2s",  # what a call costs that hangs
                mutex=[f"m{row // 4}"] if row % 4 < 2 else [],
            )
            tasks.append(task)
        await asyncio.gather(*(self.stack.go(task) for task in tasks))

    async def ended(self) -> "Ended":
        """How they ended."""
        runs = [
            run
            for tenant in self.tenants
            for run in await list_runs(self.stack.client, tenant_id=tenant, limit=5000)
        ]
        well = sum(run.status is RunState.SUCCESS for run in runs)
        return Ended(len(runs), well, sum(run.retry_count for run in runs))


@dataclass(frozen=True, slots=True)
class Ended:
    """How many runs there were, how many of them ended SUCCESS, and after how many retries."""

    runs: int
    well: int
    retries: int

    @property
    def share(self) -> float:
        """Of those that ended well."""
        return self.well / self.runs

    def __str__(self) -> str:
        return (
            f"{self.well} of {self.runs} runs whose first call failed succeeded"
            f" ({self.share:.1%}), after {self.retries} retries"
        )
