"""The circuits of plugins that had trouble of late: how they are, since when and why."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.outcomes import BreakerView, CircuitBrief, CircuitState
from shared.breaker_calls import all_briefs, view_breaker
from shared.calls import at_once
from shared.errors import NotFound, TemporalUnreachable
from starter.rpc import temporal_errors


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """One plugin. `view` is None when no worker answers: then the list is all that is known."""

    circuit: CircuitBrief
    view: BreakerView | None

    @property
    def is_open(self) -> bool:
        """Whether its calls wait."""
        return self.circuit.state is not CircuitState.CLOSED

    @property
    def since(self) -> datetime:
        """Of the state, or of the opening."""
        return _at(self.circuit.since)

    @property
    def next_probe(self) -> datetime | None:
        """From when on one call tries whether the plugin is well; None when all calls go."""
        retry_at = self.circuit.retry_at
        return None if retry_at is None else _at(retry_at)

    def as_json(self) -> dict[str, Any]:
        """A row of the document of `breakers`."""
        view = self.view
        return {
            "plugin_id": self.circuit.plugin_id,
            "state": self.circuit.state.value,
            "since": self.since.isoformat(),
            "reason": self.circuit.reason or None,
            "next_probe": self.next_probe.isoformat() if self.next_probe else None,
            "known": view is not None,
            "failures": view.failures if view else None,
            "successes": view.successes if view else None,
            "incident_failures": view.incident_failures if view else None,
            "failed_probes": view.failed_probes if view else None,
            "probe": view.probe if view else None,
            "work_order_id": view.work_order_id if view else None,
            "samples": [
                {
                    "at": _at(sample.at).isoformat(),
                    "tenant_id": sample.tenant_id,
                    "error_code": sample.error_code,
                }
                for sample in (view.samples if view else [])
            ],
        }


async def list_breakers(client: Client) -> list[BreakerRow]:
    """Those of all plugins that had failures of late, the open ones first.

    Errors: `TemporalUnreachable`.
    """
    rows: list[BreakerRow] = []

    async def look(brief: CircuitBrief) -> None:
        view = await _asked(client, brief.plugin_id)
        rows.append(BreakerRow(view.circuit if view else brief, view))

    with temporal_errors():
        try:
            briefs = await all_briefs(client)
        except TimeoutError as error:
            raise TemporalUnreachable("Temporal did not list the breakers in time") from error
        await at_once(briefs, look)
    return sorted(rows, key=lambda row: (not row.is_open, row.circuit.plugin_id))


async def view(client: Client, plugin_id: str) -> BreakerRow:
    """One plugin's. Errors: `NotFound` when it had no failures of late."""
    with temporal_errors():
        found = await view_breaker(client, plugin_id)
    if found is None:
        raise NotFound(f"no call of the plugin {plugin_id!r} failed of late: it has no breaker")
    return BreakerRow(found.circuit, found)


async def _asked(client: Client, plugin_id: str) -> BreakerView | None:
    """What the breaker itself says; None when it does not, or has ended meanwhile."""
    try:
        return await view_breaker(client, plugin_id, patience=3.0)
    except (RPCError, WorkflowQueryFailedError):
        return None


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
