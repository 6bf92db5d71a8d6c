"""What runs and their tenant's governor say to each other: payloads only.

They are stored in Temporal's histories. Fields are added, with a default, and never renamed.
"""

from typing import Literal

from pydantic import Field

from domain.decisions import Decision, Granted, Queued, first_of
from domain.ledger_state import LedgerState, RequestState
from domain.limits import TenantLimits
from domain.payload import Payload

Degraded = Literal["fail_closed", "fail_open"]
"""What becomes of a run whose admission nobody can decide: it waits, or runs with a warning."""


class GovernorStart(Payload):
    """The argument of `Governor`: `packed` is the ledger of the run before, None for a new one."""

    tenant_id: str
    packed: str | None = None


class Exchange(Payload):
    """The update `exchange`: runs that ask, and runs that have ended or given up."""

    asks: list[RequestState] = Field(default_factory=list)
    releases: list[str] = Field(default_factory=list)


class Answer(Payload):
    """What one run is told.

    `code` and `reason` are of a refusal, or why nobody could decide; `blockers` are sentences,
    `waits_for` the first dimension that is short, `holder` a run that has it. `degraded`,
    `capacity` and `listens` (whether state changes are told to anybody) are what the asking worker
    is configured for: so the run need not ask for them.
    """

    kind: Literal["granted", "queued", "refused", "unavailable"]
    fence: int = 0
    position: int = 0
    blockers: list[str] = Field(default_factory=list)
    waits_for: str | None = None
    holder: str | None = None
    code: str | None = None
    reason: str | None = None
    warning: str | None = None
    degraded: Degraded = "fail_closed"
    capacity: bool = False
    listens: bool | None = None


class Exchanged(Payload):
    """The result of `exchange`: an answer for each ask, and whom to tell.

    `wake`: runs that should ask again. `stop`: (run, newer run) where a newer one replaces it.
    """

    answers: list[Answer] = Field(default_factory=list)
    wake: list[str] = Field(default_factory=list)
    stop: list[tuple[str, str]] = Field(default_factory=list)


class Releases(Payload):
    """The signal `release`: for when the governor cannot answer an update."""

    run_ids: list[str]


class SetLimits(Payload):
    """The signal `configure`."""

    limits: TenantLimits


class Tell(Payload):
    """The argument of `tell_runs`: as in `Exchanged`."""

    wake: list[str] = Field(default_factory=list)
    stop: list[tuple[str, str]] = Field(default_factory=list)


class Suspect(Payload):
    """A run that a governor has on its books; `reserves`: it may hold capacity outside."""

    run_id: str
    task_id: str
    reserves: bool = False


class Sweep(Payload):
    """The argument of `sweep_runs`."""

    tenant_id: str
    runs: list[Suspect]


class Swept(Payload):
    """The result of `sweep_runs`: those whose workflow is closed or gone."""

    closed: list[str] = Field(default_factory=list)


class Restore(Payload):
    """The argument of `restore_governor`; `temporal_run_id` is the asking governor's own."""

    tenant_id: str
    temporal_run_id: str


class Restored(Payload):
    """The result of `restore_governor`: a packed ledger with what live runs hold and wait for."""

    packed: str


class AskInput(Payload):
    """The argument of `ask_governor`; `again`: the run asked before."""

    tenant_id: str
    request: RequestState
    again: bool = False


class ReleaseInput(Payload):
    """The argument of `release_grant`; `degraded`: what came of a capacity service's silence."""

    tenant_id: str
    run_id: str
    degraded: Degraded | None = None


class Holding(Payload):
    """What a run says of itself to a governor that begins anew; no `request`: nothing to say."""

    request: RequestState | None = None
    held: bool = False
    fence: int = 0


class GovernorView(Payload):
    """The query `view`; `restoring`: it still asks live runs what they hold, and admits nobody."""

    state: LedgerState
    restoring: bool = False


def answer_of(decision: Decision) -> Answer:
    """A decision as it travels."""
    match decision:
        case Granted(fence, warning):
            return Answer(kind="granted", fence=fence, warning=warning)
        case Queued(position, blockers):
            first = first_of(blockers) if blockers else None
            return Answer(
                kind="queued",
                position=position,
                blockers=[blocker.sentence() for blocker in blockers],
                waits_for=first.dimension if first else None,
                holder=first.runs[0] if first and first.runs else None,
            )
        case refused:
            return Answer(kind="refused", code=refused.code, reason=refused.reason)
