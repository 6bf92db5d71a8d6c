"""How to say that a task should fire later: the trigger to write, where it is simple enough."""

from datetime import datetime, timedelta

from domain.cron import parse_cron
from domain.duration import format_duration
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Task, Trigger
from domain.triggers import trigger_times

_MINUTES, _HOURS = 60, 24


def said_later(task: Task, shift: timedelta, start: datetime, end: datetime) -> str:
    """`fire sync 4 min later: cron "4 2 * * *"`; without the trigger where no simple one does it.

    A trigger is named only if it fires exactly `shift` later, whole minutes, all the time from
    `start` to `end`: a change of the clocks in between may make that untrue.
    """
    text = f"fire {task.task_id} {shift // timedelta(minutes=1)} min later"
    if len(task.triggers) != 1:
        return text
    [trigger] = task.triggers
    later = _later(trigger, shift)
    if later is None:
        return text
    wanted = [at + shift for at in trigger_times(trigger, after=start, until=end)]
    if wanted != list(trigger_times(later, after=start + shift, until=end + shift)):
        return text
    return f"{text}: {_written(later)}"


def _written(trigger: Trigger) -> str:
    match trigger:
        case CronTrigger(cron=cron):
            return f'cron "{cron}"'
        case IntervalTrigger(every=every, offset=offset):
            return f"every {format_duration(every)}, offset {format_duration(offset)}"
        case OneOffTrigger(at=at):
            return f"at {at.isoformat()}"
        case _:
            raise AssertionError(trigger)


def _later(trigger: Trigger, shift: timedelta) -> Trigger | None:
    match trigger:
        case CronTrigger(cron=cron, timezone=zone):
            text = _later_cron(cron, shift // timedelta(minutes=1))
            return CronTrigger(cron=text, timezone=zone) if text else None
        case IntervalTrigger(every=every, offset=offset):
            return IntervalTrigger(every=every, offset=(offset + shift) % every)
        case OneOffTrigger(at=at):
            return OneOffTrigger(at=at + shift)
        case _:
            return None


def _later_cron(cron: str, minutes: int) -> str | None:
    """The expression with its minutes moved, and its hour where that is one number."""
    minute, hour, *days = parse_cron(cron).text.split(" ")
    if minute.startswith("*/") and minute[2:].isdecimal():
        step = int(minute[2:])
        if _MINUTES % step or minutes >= step:
            return None
        return " ".join([f"{minutes}-59/{step}", hour, *days])
    numbers = minute.split(",")
    if not all(number.isdecimal() for number in numbers):
        return None
    moved = [int(number) + minutes for number in numbers]
    carry = {number // _MINUTES for number in moved}
    if carry != {0}:
        if len(carry) > 1 or not (hour.isdecimal() or hour == "*"):
            return None
        if hour != "*":
            hour = str(int(hour) + carry.pop())
            if int(hour) >= _HOURS:
                return None
    return " ".join([",".join(str(number % _MINUTES) for number in moved), hour, *days])
