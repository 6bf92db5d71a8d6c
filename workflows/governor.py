"""`Governor`: decides, for one tenant, which runs may go, which wait and which do not run."""

from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from domain.admission import Ledger
    from domain.attributes import GOVERNOR
    from domain.decisions import Request
    from domain.governor import (
        Answer,
        Exchange,
        Exchanged,
        GovernorStart,
        GovernorView,
        Releases,
        Restore,
        SetLimits,
        Suspect,
        Sweep,
        Tell,
        answer_of,
    )
    from domain.ledger_state import (
        LedgerState,
        ledger_of,
        pack_ledger,
        state_of,
        unpack_ledger,
    )
    from domain.limits import TenantLimits
    from domain.packing import unpack
    from workflows.interfaces import restore_governor, sweep_runs, tell_runs

MESSAGES_PER_RUN = 500
"""Updates and signals after which a new run goes on: Temporal allows 2,000 updates for one."""
EVENTS_PER_RUN = 3_000
SWEEP_EVERY = timedelta(seconds=60)
SWEEP_AT_MOST_EVERY = timedelta(seconds=10)
"""A run that waits and asks again has somebody looked for who ended without a word."""
FRESH = 10.0
"""Seconds for which a grant is not looked after: its run is on the way to take it up."""
FENCES_FROM = datetime(2026, 1, 1, tzinfo=UTC)
FENCES_PER_SECOND = 1000
"""A governor that begins anew must not repeat fences: it begins where the clock has come to, and
none of them makes so many grants in a second."""


@workflow.defn(name=GOVERNOR)
class Governor:
    """The ledger, and who talks to it.

    Handlers decide at once and await nothing. A run learns of its grant only by the answer to its
    own update, which Temporal gives when the decision is in the history: a worker that dies in
    between cannot have told anybody of a decision that is then taken differently. The messages to
    runs are hints to ask again, and may be lost or late.
    """

    @workflow.init
    def __init__(self, start: GovernorStart) -> None:
        self._tenant_id = start.tenant_id
        self._restoring = start.packed is None
        self._ledger = unpack_ledger(start.packed) if start.packed else Ledger(TenantLimits())
        self._parked: dict[str, Request] = {}
        self._ended: set[str] = set()
        self._limits: TenantLimits | None = None
        self._messages = 0
        self._swept_at = workflow.now()
        self._somebody_waits = False
        self._to_tell = True

    @workflow.run
    async def run(self, start: GovernorStart) -> None:
        """Restore the ledger if there is none, then look after who is on it, until full."""
        if self._restoring:
            await self._restore()
        while not self._is_full():
            if self._to_tell:
                await self._tell()
            elif self._sweep_is_due():
                await self._sweep()
            elif not self._ledger.holders and not self._ledger.waiting:
                await workflow.wait_condition(
                    lambda: bool(self._ledger.holders or self._ledger.waiting) or self._has_news()
                )
            else:
                left = self._swept_at + SWEEP_EVERY - workflow.now()
                try:
                    await workflow.wait_condition(self._has_news, timeout=max(left, timedelta(0)))
                except TimeoutError:
                    await self._sweep()
        workflow.continue_as_new(
            GovernorStart(tenant_id=self._tenant_id, packed=pack_ledger(self._ledger))
        )

    @workflow.update
    def exchange(self, request: Exchange) -> Exchanged:
        """Runs that end, then runs that ask; each is answered, and whoever can go now is named."""
        self._messages += 1
        now = workflow.now().timestamp()
        asks = [ask.request() for ask in request.asks]
        if self._restoring:
            self._ended.update(request.releases)
            self._parked.update({ask.run_id: ask for ask in asks})
            text = "the tenant's governor was lost, and asks the live runs what they hold"
            return Exchanged(answers=[Answer(kind="queued", blockers=[text]) for _ in asks])
        for run_id in request.releases:
            self._ledger.release(run_id, now)
        if any(ask.run_id in self._ledger.waiting for ask in asks):
            self._somebody_waits = True
        answers = [answer_of(decision) for decision in self._ledger.decide_all(asks, now)]
        return Exchanged(
            answers=answers, wake=self._ledger.take_wake(), stop=self._ledger.take_stop()
        )

    @workflow.signal
    def release(self, request: Releases) -> None:
        """Runs that have ended, and could not wait for an answer."""
        self._messages += 1
        if self._restoring:
            self._ended.update(request.run_ids)
            return
        for run_id in request.run_ids:
            self._ledger.release(run_id, workflow.now().timestamp())
        self._to_tell = True

    @workflow.signal
    def configure(self, change: SetLimits) -> None:
        """Other limits from now on."""
        self._messages += 1
        if self._restoring:
            if not (self._limits and _is_older(change.limits, self._limits)):
                self._limits = change.limits
        elif not _is_older(change.limits, self._ledger.limits):
            self._ledger.set_limits(change.limits, workflow.now().timestamp())
            self._to_tell = True

    @workflow.query
    def view(self) -> GovernorView:
        """Everything that there is to know."""
        return GovernorView(state=state_of(self._ledger), restoring=self._restoring)

    async def _restore(self) -> None:
        """Begin with what live runs hold; nobody is admitted before all of them were asked."""
        info = workflow.info()
        found = await workflow.execute_activity(
            restore_governor,
            Restore(tenant_id=self._tenant_id, temporal_run_id=info.run_id),
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15)
            ),
            summary="asks live runs what they hold",
        )
        now = workflow.now()
        state = LedgerState.model_validate_json(unpack(found.packed), extra="ignore")
        ledger = ledger_of(state.model_copy(update={"waiting": []}))
        since = (info.start_time - FENCES_FROM).total_seconds()
        ledger.fence = max(ledger.fence, int(since * FENCES_PER_SECOND))
        self._ledger, self._restoring = ledger, False
        if self._limits and not _is_older(self._limits, ledger.limits):
            ledger.set_limits(self._limits, now.timestamp())
        for run_id in sorted(self._ended):
            ledger.release(run_id, now.timestamp())
        # As if they asked now: each waits, or meets the rules of its task, and hears it when woken.
        asks = {run.run_id: run.request() for run in state.waiting} | self._parked
        parked = [asks[run_id] for run_id in sorted(asks.keys() - self._ended)]
        ledger.decide_all(parked, now.timestamp())
        ledger.wake(run.run_id for run in parked)
        self._parked, self._ended = {}, set()
        self._to_tell = True

    async def _tell(self) -> None:
        """Have runs ask again: those whose answer changed, in one batch."""
        self._to_tell = False
        tell = Tell(wake=self._ledger.take_wake(), stop=self._ledger.take_stop())
        if not tell.wake and not tell.stop:
            return
        try:
            await workflow.execute_local_activity(
                tell_runs,
                tell,
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except FailureError:
            return  # they ask again by themselves, and the next sweep tells them too

    async def _sweep(self) -> None:
        """Free what runs held that ended without a word, and remind those that were not heard."""
        self._swept_at, self._somebody_waits = workflow.now(), False
        ledger = self._ledger
        before = workflow.now().timestamp() - FRESH
        suspects = [
            Suspect(
                run_id=run_id,
                task_id=holder.request.demand.task_id,
                reserves=any(name.startswith("resource:") for name, _ in holder.units()),
            )
            for run_id, holder in ledger.holders.items()
            if holder.since < before
        ]
        suspects += [
            Suspect(run_id=run_id, task_id=request.demand.task_id)
            for run_id, request in ledger.waiting.items()
            if request.asked_at < before
        ]
        suspects += [Suspect(run_id=run_id, task_id="") for run_id in ledger.refused]
        if suspects:
            swept = await workflow.execute_activity(
                sweep_runs,
                Sweep(tenant_id=self._tenant_id, runs=suspects),
                start_to_close_timeout=timedelta(minutes=5),
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=15)),
                summary="looks for runs that ended without a word",
            )
            for run_id in swept.closed:
                if ledger.release(run_id, workflow.now().timestamp()):
                    ledger.counters.swept += 1
        ledger.remind(before)
        self._swept_at, self._to_tell = workflow.now(), True

    def _sweep_is_due(self) -> bool:
        waited = workflow.now() - self._swept_at
        return waited >= SWEEP_EVERY or (self._somebody_waits and waited >= SWEEP_AT_MOST_EVERY)

    def _has_news(self) -> bool:
        return self._to_tell or self._is_full() or self._sweep_is_due()

    def _is_full(self) -> bool:
        info = workflow.info()
        return (
            self._messages >= MESSAGES_PER_RUN
            or info.get_current_history_length() >= EVENTS_PER_RUN
            or info.is_continue_as_new_suggested()
        )


def _is_older(limits: TenantLimits, known: TenantLimits) -> bool:
    """Whether limits were said before those that are known, and came late."""
    before, after = known.changed_at, limits.changed_at
    return before is not None and after is not None and after < before
