"""What a run asks of the platform's capacity service, and what comes of it: payloads only.

They are stored in Temporal's histories. Fields are added, with a default, and never renamed.
"""

from datetime import datetime

from pydantic import Field

from domain.duration import Duration
from domain.payload import Payload


class CapacityRequest(Payload):
    """The argument of `reserve_capacity`. The reservation id is the run's: asking twice is once."""

    reservation_id: str
    tenant_id: str
    task_id: str
    resources: dict[str, int] = Field(default_factory=dict)
    start: datetime
    duration: Duration


class CapacityAnswer(Payload):
    """The result of `reserve_capacity`: granted, or why not and when asking again makes sense."""

    granted: bool
    reason: str | None = None
    retry_after: Duration | None = None


class CapacityRelease(Payload):
    """The argument of `release_capacity`; releasing twice, or what was never reserved, is fine."""

    reservation_id: str
    tenant_id: str
    task_id: str
