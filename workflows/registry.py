"""`Registry`: remembers which tasks of a tenant should exist, whatever happens to schedules."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.attributes import LIMITS_MEMO, LOAD_MEMO, REGISTRY, VERSION_MEMO
    from domain.limits import TenantLimits
    from domain.registry import Configure, Put, Remove, SetPaused, Shard, Snapshot

SIGNALS_PER_RUN = 500
"""After so many a new run goes on: a history that grows for ever would end the registry."""


@workflow.defn(name=REGISTRY)
class Registry:
    """One shard of a tenant's tasks.

    Handlers change the state at once and await nothing: a signal is either in the state that the
    next run begins with, or delivered to that run.
    """

    @workflow.init
    def __init__(self, snapshot: Snapshot) -> None:
        self._shard = Shard(snapshot)
        self._signals = 0
        self._told: int | None = None
        self._told_limits: TenantLimits | None = None

    @workflow.run
    async def run(self, snapshot: Snapshot) -> None:
        """Show each change in the memo, for whoever lists registries, until the next run."""
        while not self._is_full():
            if self._has_news():
                self._told, self._told_limits = self._shard.version, self._shard.limits
                workflow.upsert_memo(self._memo())
            await workflow.wait_condition(lambda: self._has_news() or self._is_full())
        workflow.continue_as_new(self._shard.snapshot(), memo=self._memo())

    @workflow.signal
    def put(self, batch: Put) -> None:
        """These tasks should exist, and be so."""
        self._signals += 1
        self._shard.put(batch)

    @workflow.signal
    def remove(self, batch: Remove) -> None:
        """These tasks should not exist."""
        self._signals += 1
        self._shard.remove(batch)

    @workflow.signal
    def set_paused(self, batch: SetPaused) -> None:
        """These tasks should not fire for now, or fire again."""
        self._signals += 1
        self._shard.set_paused(batch)

    @workflow.signal
    def configure(self, change: Configure) -> None:
        """The tenant's runs may hold so much."""
        self._signals += 1
        self._shard.configure(change)

    @workflow.query
    def snapshot(self) -> Snapshot:
        """The whole shard."""
        return self._shard.snapshot()

    def _has_news(self) -> bool:
        return self._told != self._shard.version or self._told_limits != self._shard.limits

    def _memo(self) -> dict[str, Any]:
        memo: dict[str, Any] = {
            VERSION_MEMO: self._shard.version,
            LOAD_MEMO: self._shard.load,
        }
        if self._shard.limits:
            memo[LIMITS_MEMO] = self._shard.limits
        return memo

    def _is_full(self) -> bool:
        return self._signals >= SIGNALS_PER_RUN or workflow.info().is_continue_as_new_suggested()
