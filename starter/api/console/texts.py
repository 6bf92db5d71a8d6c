"""Tasks and attempts in words, as pages show them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from domain.describe import describe_cron
from domain.task import CronTrigger, Task
from shared.schedules import trigger_text
from starter.cli.times import relative
from starter.executions import progress_text
from starter.tasks import Attempt

MOST = 200
"""Characters of a task's triggers in a list; filters are long."""

Triggers = Iterable[Mapping[str, Any]]


def triggers_text(triggers: Triggers) -> str:
    """All of them in a line."""
    text = "; ".join(trigger_text(dict(trigger)) for trigger in triggers)
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."


def zone_in_list(triggers: Triggers) -> str:
    """The zone that a listed task's times are shown in."""
    return next((str(t["timezone"]) for t in triggers if "timezone" in t), "UTC")


def on_events(triggers: Triggers) -> bool:
    """Whether one of them is no time."""
    return any("event" in trigger for trigger in triggers)


def trigger_lines(task: Task) -> list[str]:
    """A line for each, crons explained."""
    return [
        trigger_text(trigger.model_dump(mode="json"))
        + (f": {describe_cron(trigger.expression())}" if isinstance(trigger, CronTrigger) else "")
        for trigger in task.triggers
    ]


def attempt_text(attempt: Attempt, now: datetime) -> str:
    """Which one it is, when it begins, what its plugin told, and how the one before failed."""
    waits = attempt.next_at is not None and attempt.next_at > now
    when = f", starts {relative(attempt.next_at, now)}" if waits and attempt.next_at else ""
    told = f"; {progress_text(attempt.progress)}" if attempt.progress else ""
    failure = f"; the last one: {attempt.last_failure}" if attempt.last_failure else ""
    count = f"attempt {attempt.attempt} of {attempt.max_attempts}"
    return f"{attempt.run_id}: {count}{when}{told}{failure}"
