"""What runs of events and their `Debounce` workflow tell each other."""

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import DEBOUNCE, DEBOUNCE_EVENT, SUPERSEDED, TELL_SUPERSEDED
from domain.debounce import (
    TELL,
    DebounceInput,
    DebounceStart,
    Newest,
    Superseded,
    TellSuperseded,
)
from domain.ids import recovery_queue
from shared.calls import at_once, is_missing

WITHIN = timedelta(seconds=3)
"""Of one call: a local activity keeps the workflow task of its run open."""


class DebounceActivities:
    """Local activities of both sides; one instance per worker. `task_queue` is that of runs."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._queue = recovery_queue(task_queue)

    @activity.defn(name=DEBOUNCE_EVENT)
    async def debounce_event(self, request: DebounceInput) -> None:
        """Tell the rule's workflow, and start it when there is none. Errors: `RPCError`."""
        newest = Newest(run_id=request.run_id, at=request.at, debounce=request.debounce)
        await self._client.start_workflow(
            DEBOUNCE,
            DebounceStart(),
            id=request.debounce_id,
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=TELL,
            start_signal_args=[newest],
            static_summary="lets the newest event of a rule go",
            rpc_timeout=WITHIN,
        )

    @activity.defn(name=TELL_SUPERSEDED)
    async def tell_superseded(self, request: TellSuperseded) -> None:
        """Signals; a run that has ended, or was terminated, is no error. Errors: `RPCError`."""
        await at_once(request.runs, self._tell)

    async def _tell(self, superseded: Superseded) -> None:
        run = self._client.get_workflow_handle(superseded.run_id)
        try:
            await run.signal(SUPERSEDED, superseded.by, rpc_timeout=WITHIN)
        except RPCError as error:
            if not is_missing(error):
                raise
