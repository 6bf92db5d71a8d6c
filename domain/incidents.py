"""What people are told when a plugin fails for everybody: one notice, one work order."""

from datetime import UTC, datetime

from domain.breaker import Circuit
from domain.ids import breaker_id, work_order_id
from domain.notices import Breach, BreachKind, FailedAttempt, NoticeInput, WorkOrderSeed

PLATFORM = "platform"
"""The tenant of an incident: a plugin is everybody's."""


def incident_id(plugin_id: str, opened_at: float) -> str:
    """`breaker/report-builder/1795399200`: the id of the breach, and its run id."""
    return f"{breaker_id(plugin_id)}/{int(opened_at)}"


def order_of(plugin_id: str, opened_at: float) -> str:
    """The work order of an incident."""
    return work_order_id(incident_id(plugin_id, opened_at))


def notice_of(circuit: Circuit, now: float) -> NoticeInput:
    """The notice of an incident that began at `circuit.opened_at`; `now` if it did not."""
    opened_at = circuit.opened_at if circuit.opened_at is not None else now
    incident = incident_id(circuit.plugin_id, opened_at)
    cause = f"the plugin {circuit.plugin_id} fails for everybody: {circuit.reason}"
    samples = circuit.samples
    return NoticeInput(
        breach=Breach(
            breach_id=incident,
            kind=BreachKind.FAILED,
            tenant_id=PLATFORM,
            task_id=circuit.plugin_id,
            run_id=incident,
            expected_by=None,
            observed_at=datetime.fromtimestamp(opened_at, UTC),
            severity="critical",
            message=f"{cause}. Its calls wait; one at a time tries whether it is well",
        ),
        work_order=WorkOrderSeed(
            plugin_id=circuit.plugin_id,
            error_code=samples[-1].error_code if samples else None,
            cause=cause,
            attempts=[
                FailedAttempt(
                    attempt=number,
                    at=datetime.fromtimestamp(sample.at, UTC),
                    error_code=sample.error_code,
                    message=f"a call for the tenant {sample.tenant_id}",
                )
                for number, sample in enumerate(samples, start=1)
            ],
        ),
    )
