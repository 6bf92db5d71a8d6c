"""`Breaker`: knows, for one plugin, whether its calls go, wait, or one goes to try it."""

from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from domain.attributes import BREAKER, NOTICE
    from domain.breaker import Circuit, pack_circuit, unpack_circuit
    from domain.ids import notice_id
    from domain.incidents import notice_of, order_of
    from domain.outcomes import (
        BRIEF_MEMO,
        BreakerAnswer,
        BreakerExchange,
        BreakerStart,
        BreakerView,
        CircuitBrief,
        CircuitState,
    )
    from workflows.attributes import PLUGIN_ID, TASK_STATUS

EXCHANGES_PER_RUN = 500
"""Updates after which a new run goes on: Temporal allows 2,000 for one."""
EVENTS_PER_RUN = 3_000
COUNTING_STEP = 20.0
"""Seconds by which `counting_until` moves before the memo is written again."""


@workflow.defn(name=BREAKER)
class Breaker:
    """The circuit, and who shows it.

    Handlers decide at once and await nothing. The memo has what workers need that list breakers,
    and is written when the state changes, not with every failure.
    """

    @workflow.init
    def __init__(self, start: BreakerStart) -> None:
        now = workflow.now().timestamp()
        if start.packed:
            self._circuit = unpack_circuit(start.packed)
        else:
            self._circuit = Circuit(start.plugin_id, since=now, heard_at=now, changed_at=now)
        self._shown: CircuitBrief | None = None
        self._exchanges = 0

    @workflow.run
    async def run(self, start: BreakerStart) -> None:
        """Show each change and tell people of an incident, until all was well for long."""
        while not self._is_full():
            if self._has_changed():
                self._show()
            elif self._incident_is_new():
                await self._tell()
            elif (left := self._circuit.ends_at() - workflow.now().timestamp()) > 0:
                try:
                    await workflow.wait_condition(self._has_news, timeout=timedelta(seconds=left))
                except TimeoutError:
                    continue
            else:
                self._show_closed()
                return
        workflow.continue_as_new(
            BreakerStart(plugin_id=start.plugin_id, packed=pack_circuit(self._circuit)),
            memo={BRIEF_MEMO: self._brief()},
        )

    @workflow.update
    def exchange(self, request: BreakerExchange) -> BreakerAnswer:
        """What one worker met, and whether one of its attempts goes as the probe."""
        self._exchanges += 1
        return self._circuit.take(request, workflow.now().timestamp())

    @workflow.query
    def view(self) -> BreakerView:
        """Everything that people may want to know."""
        view = self._circuit.view(workflow.now().timestamp())
        if view.opened_at is None:
            return view
        order = order_of(self._circuit.plugin_id, view.opened_at)
        return view.model_copy(update={"work_order_id": order})

    async def _tell(self) -> None:
        """One notice, and by it one work order, for all the runs that this incident keeps waiting.

        Its id is that of the incident: a second one is refused by Temporal.
        """
        circuit = self._circuit
        circuit.told_of = circuit.opened_at
        request = notice_of(circuit, workflow.now().timestamp())
        try:
            await workflow.start_child_workflow(
                NOTICE,
                request,
                id=notice_id(request.breach.breach_id),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=request.breach.message[:200],
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info(
                "the notice of this incident exists", extra={"action": "notice_exists"}
            )

    def _show(self) -> None:
        brief = self._shown = self._brief()
        workflow.upsert_search_attributes(
            [
                TASK_STATUS.value_set(brief.state),
                PLUGIN_ID.value_set(brief.plugin_id),
            ]
        )
        workflow.upsert_memo({BRIEF_MEMO: brief})
        workflow.set_current_details(_told(self._circuit))

    def _show_closed(self) -> None:
        """For a circuit that is forgotten while it was open: nobody wanted to pass."""
        if self._circuit.state is not CircuitState.CLOSED:
            workflow.upsert_search_attributes([TASK_STATUS.value_set(CircuitState.CLOSED)])

    def _brief(self) -> CircuitBrief:
        return self._circuit.brief(workflow.now().timestamp())

    def _has_changed(self) -> bool:
        """Whether what is shown is not so any more; how time goes by is no change."""
        if self._shown is None or self._shown.changed_at != self._circuit.changed_at:
            return True
        return self._brief().counting_until > self._shown.counting_until + COUNTING_STEP

    def _incident_is_new(self) -> bool:
        return self._circuit.told_of != self._circuit.opened_at

    def _has_news(self) -> bool:
        return self._has_changed() or self._incident_is_new() or self._is_full()

    def _is_full(self) -> bool:
        info = workflow.info()
        return (
            self._exchanges >= EXCHANGES_PER_RUN
            or info.get_current_history_length() >= EVENTS_PER_RUN
            or info.is_continue_as_new_suggested()
        )


def _told(circuit: Circuit) -> str:
    """The circuit in a few lines of Markdown, for Temporal's Web UI."""
    words = {
        CircuitState.CLOSED: "calls go",
        CircuitState.OPEN: "calls wait",
        CircuitState.HALF_OPEN: "calls wait, and one tries whether the plugin is well",
    }
    lines = [f"**{circuit.state}** - {words[circuit.state]}", ""]
    lines.append(f"- plugin: `{circuit.plugin_id}`")
    closed = circuit.state is CircuitState.CLOSED
    lines.append(f"- since: {_utc(circuit.since if closed else circuit.open_since)}")
    if not closed:
        lines.append(f"- why: {circuit.reason}")
        lines.append(f"- next probe: from {_utc(circuit.retry_at)}, {circuit.failed_probes} failed")
    if circuit.opened_at is not None:
        order = order_of(circuit.plugin_id, circuit.opened_at)
        lines.append(f"- incident: since {_utc(circuit.opened_at)}, work order `{order}`")
    return "\n".join(lines)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
