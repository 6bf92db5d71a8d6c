"""What a task says: the models behind a task file or a registration body.

`Task` is whole: every field has its value. What people write is the partial form of the same model
(`domain.layers`), because whatever they leave out comes from the tenant's or the default policy.
"""

from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
)

from domain.cron import CronExpression, parse_cron
from domain.duration import Duration
from domain.ids import NAME
from domain.problems import shown


class Model(BaseModel):
    """Unknown keys are errors, values are final, and numbers are numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


_LONGEST_ZONE = 64
_MOST_ODD = 4


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory", "posixrules"})


@cache
def _letters() -> dict[str, frozenset[str]]:
    return {zone: frozenset(zone.lower()) for zone in sorted(_zones())}


def _close_to(name: str) -> list[str]:
    """The zone that may have been meant; only those of nearly the same letters are compared, as a
    file may have thousands of wrong ones.
    """
    letters = frozenset(name[:_LONGEST_ZONE].lower())
    alike = [zone for zone, known in _letters().items() if len(known ^ letters) <= _MOST_ODD]
    return get_close_matches(name[:_LONGEST_ZONE], alike, n=1) or [
        zone for zone in alike if zone.lower() == name.lower()
    ]


def _zone(name: str) -> str:
    if name in _zones():
        return name
    close = _close_to(name)
    hint = (
        f"did you mean {close[0]!r}?"
        if close
        else "write an IANA name such as Europe/Berlin or UTC"
    )
    raise ValueError(f"{name[:64]!r} is not a time zone: {hint}")


def _written_time(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value  # pydantic would take a number, as text or not, for seconds since 1970
    raise ValueError(f"{shown(value)} is not a time: write it as 2027-01-01T02:00:00+08:00")


def _cron(text: str) -> str:
    parse_cron(text)
    return text


TimeZone = Annotated[str, AfterValidator(_zone)]
CronText = Annotated[str, AfterValidator(_cron)]
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$")]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Params = dict[str, JsonValue]


class CronTrigger(Model):
    """Fires when the clock of `timezone` reads what the expression says."""

    cron: CronText
    timezone: TimeZone = "UTC"

    def expression(self) -> CronExpression:
        """The parsed expression; it was checked when the trigger was read."""
        return parse_cron(self.cron)


class IntervalTrigger(Model):
    """Fires every `every`, counted from the Unix epoch and moved by `offset`."""

    every: Duration
    offset: Duration = Field(default="0s", validate_default=True)


class OneOffTrigger(Model):
    """Fires once, at an instant."""

    at: Annotated[AwareDatetime, BeforeValidator(_written_time)]


class EventTrigger(Model):
    """Fires for each CloudEvent of a type that the filter (CEL) lets through.

    With `debounce`, only the last of a burst of events is run.
    """

    event: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    filter: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    debounce: Duration | None = None
    max_events_per_minute: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None


TRIGGER_KINDS = ("cron", "every", "at", "event")


def trigger_tag(value: Any) -> str | None:
    """Which kind of trigger a mapping or model is; None when it is none or several."""
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    kinds = [kind for kind in TRIGGER_KINDS if kind in keys]
    return f"<{kinds[0]}>" if len(kinds) == 1 else None


Trigger = Annotated[
    Annotated[CronTrigger, Tag("<cron>")]
    | Annotated[IntervalTrigger, Tag("<every>")]
    | Annotated[OneOffTrigger, Tag("<at>")]
    | Annotated[EventTrigger, Tag("<event>")],
    Discriminator(
        trigger_tag,
        custom_error_type="trigger_kind",
        custom_error_message="a trigger has exactly one of the keys cron, every, at, event",
    ),
]


class Overlap(StrEnum):
    """What happens to a fire while the task's previous run has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"
    CANCEL_RUNNING = "cancel_running"


class Retry(Model):
    """How often, and after how long, a failed attempt is followed by another."""

    max_attempts: Annotated[int, Field(strict=True, ge=1, le=100)]
    initial_interval: Duration
    backoff: Annotated[float, Field(strict=True, ge=1.0, le=100.0)]
    max_interval: Duration
    non_retryable: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]]


class Compensation(Model):
    """The plugin call that undoes a run that failed for good."""

    plugin_id: Name
    params: Params = {}


class Sla(Model):
    """By when a run starts and finishes, and what a breach leads to."""

    start_within: Duration
    finish_within: Duration
    warn_at: Annotated[float, Field(strict=True, gt=0, lt=1)]
    on_breach: Literal["notify", "cancel"]
    severity: Literal["low", "medium", "high", "critical"]
    while_paused: Literal["runs", "stops"] = "runs"


class Blackout(Model):
    """A window in which the task's fires are skipped, or deferred to its end."""

    cron: CronText
    duration: Duration
    timezone: TimeZone = "UTC"
    then: Literal["skip", "defer"] = "skip"


class TaskPolicy(Model):
    """What a task may leave to its tenant's or the default policy."""

    jitter: Duration
    stagger: Duration
    timeout: Duration
    heartbeat_timeout: Duration
    overlap: Overlap
    catchup: Duration
    priority: Annotated[int, Field(strict=True, ge=1, le=5)]
    resources: dict[Name, Count]
    mutex: list[Name]
    on_conflict: Literal["queue", "skip", "fail", "warn"]
    queue_timeout: Duration
    expected_duration: Duration | None
    blackouts: list[Blackout]
    retry: Retry
    compensation: Compensation | None
    sla: Sla | None
    work_order: Literal["never", "on_failure", "on_breach", "both"]


class TaskIdentity(Model):
    """What only the task itself can say."""

    tenant_id: Name
    task_id: Name
    plugin_id: Name
    description: Annotated[str, StringConstraints(max_length=400)] = ""
    triggers: Annotated[list[Trigger], Field(min_length=1, max_length=50)]
    params: Params = {}
    spread: Duration = Field(default="0s", validate_default=True)
    """By how much all fires come later because too many of the tenant's share a minute."""


class Task(TaskPolicy, TaskIdentity):  # the last base's fields come first: ids before policy
    """A task with every field known: what its schedule carries and its runs obey."""


class Quota(Model):
    """What a tenant's runs may hold at once; None is unlimited."""

    max_concurrent: Count | None = None
    resources: dict[Name, Count] = {}


class Flags(Model):
    """The feature flags, by the names that policy files and the environment use."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_alias=True, validate_by_name=True
    )

    task_scheduler_v3: bool = Field(True, alias="task-scheduler-v3")
    task_sla_monitor: bool = Field(True, alias="task-sla-monitor")
    task_retry_queue: bool = Field(True, alias="task-retry-queue")
