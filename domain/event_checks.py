"""Event triggers of a task that cannot work, and what says nothing about a task without a clock."""

from collections.abc import Iterator, Set
from datetime import timedelta

from domain.event_attributes import text_of
from domain.filters import compile_filter
from domain.problems import Path, Problem
from domain.task import EventTrigger, Task

LEAST_DEBOUNCE, MOST_DEBOUNCE = timedelta(seconds=1), timedelta(hours=24)
_OF_CLOCKS = ("stagger", "spread", "jitter", "catchup")


def event_checks(task: Task, said: Set[str]) -> Iterator[Problem]:
    """Problems of the event triggers, their paths below the task."""
    taken: dict[str, int] = {}
    for index, trigger in enumerate(task.triggers):
        if not isinstance(trigger, EventTrigger):
            continue
        at: Path = ("triggers", index)
        try:
            text_of(trigger.event)
        except ValueError as error:
            yield Problem((*at, "event"), str(error))
        if (first := taken.get(trigger.event)) is not None:
            message = f"never matches: triggers[{first}] takes every event of this type"
            yield Problem((*at, "event"), message)
        elif trigger.filter is None:
            taken[trigger.event] = index
        yield from _filter_checks(trigger, at)
        yield from _debounce_checks(trigger, at)
    if all(isinstance(trigger, EventTrigger) for trigger in task.triggers):
        for name in _OF_CLOCKS:
            if name in said and getattr(task, name):
                message = "means nothing to a task that only has event triggers: leave it out"
                yield Problem((name,), message)


def _filter_checks(trigger: EventTrigger, at: Path) -> Iterator[Problem]:
    if trigger.filter is None:
        return
    try:
        compile_filter(trigger.filter)
    except ValueError as error:
        yield Problem((*at, "filter"), str(error))


def _debounce_checks(trigger: EventTrigger, at: Path) -> Iterator[Problem]:
    if trigger.debounce is not None and not LEAST_DEBOUNCE <= trigger.debounce <= MOST_DEBOUNCE:
        yield Problem((*at, "debounce"), "must be from 1s to 24h")
