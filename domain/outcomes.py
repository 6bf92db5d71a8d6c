"""What workers and breakers say to each other about a plugin's calls: payloads only.

They are stored in Temporal's histories. Fields are added, with a default, and never renamed.
Times are seconds since 1970 by Temporal's clock.
"""

from enum import StrEnum

from pydantic import Field

from domain.payload import Payload


class CircuitState(StrEnum):
    """Whether a plugin's calls go: all of them, none, or one to try."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


FAILURES = frozenset({"PLUGIN_UNAVAILABLE", "PLUGIN_TIMEOUT", "PLUGIN_BAD_ANSWER"})
"""Error codes of a plugin that is not well. `FAILED` by the contract, a 4xx and a 429 are answers:
whoever gives one is there and works.
"""


def is_failure(error_code: str | None) -> bool:
    """Whether a call that ended so speaks against its plugin."""
    return error_code in FAILURES


class Outcome(Payload):
    """Calls of one tenant that ended `ago_s` seconds before they were told.

    `codes`: some of the failures' error codes.
    """

    tenant_id: str
    successes: int = Field(0, ge=0)
    failures: int = Field(0, ge=0)
    codes: list[str] = Field(default_factory=list)
    ago_s: float = Field(0.0, ge=0)


class ProbeEnd(Payload):
    """A probe is over. `ok`: None when it came to nothing that says how the plugin is."""

    key: str
    ok: bool | None


class BreakerExchange(Payload):
    """The update `exchange` of one worker process.

    `sequence` grows by one with each of them: one that is sent again counts once. `ended`: probes
    that are over. `holds`: probes that go on. `asks`: an attempt that would go as a probe.
    """

    worker: str
    sequence: int
    outcomes: list[Outcome] = Field(default_factory=list)
    ended: list[ProbeEnd] = Field(default_factory=list)
    holds: list[str] = Field(default_factory=list)
    asks: str | None = None


class CircuitBrief(Payload):
    """What a worker has to know of a circuit; also the memo of its breaker.

    `since`: of the state, or of the opening when it is not closed. `retry_at`: None when closed.
    `counting_until`: while failures may add up until then, successes are of interest too.
    `changed_at`: of two briefs, the one with the higher is the newer.
    """

    plugin_id: str
    state: CircuitState
    since: float
    retry_at: float | None = None
    reason: str = ""
    counting_until: float = 0.0
    changed_at: float = 0.0


class BreakerAnswer(Payload):
    """The result of `exchange`. `granted`: who asked goes as the probe. `opened`: just now."""

    circuit: CircuitBrief
    granted: bool = False
    opened: bool = False


class FailureSample(Payload):
    """One failure, as an example."""

    at: float
    tenant_id: str
    error_code: str


class BreakerView(Payload):
    """The query `view`. The counts are of the last minute, `incident_failures` of the incident.

    `opened_at`: when the incident began; None when there was none of late. `probe`: the attempt
    that is one now. `work_order_id`: of the incident.
    """

    circuit: CircuitBrief
    successes: int = 0
    failures: int = 0
    incident_failures: int = 0
    failed_probes: int = 0
    opened_at: float | None = None
    probe: str | None = None
    samples: list[FailureSample] = Field(default_factory=list)
    work_order_id: str | None = None


class BreakerStart(Payload):
    """The argument of `Breaker`: `packed` is the circuit of the run before, None for a new one."""

    plugin_id: str
    packed: str | None = None


BRIEF_MEMO = "circuit"
"""Memo field of a breaker: its `CircuitBrief`, for whoever lists breakers."""
