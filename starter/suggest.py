"""What an unknown key of a task file may have been meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

from domain.problems import Problem
from domain.task import (
    Blackout,
    Compensation,
    CronTrigger,
    EventTrigger,
    IntervalTrigger,
    Model,
    OneOffTrigger,
    Quota,
    Retry,
    Sla,
    Task,
    TaskPolicy,
)
from domain.tenant import Tenant

MOST = 200
_UNKNOWN = "is not a known key"
_INSIDE: dict[str, tuple[type[Model], ...]] = {
    "": (Task,),
    "tasks": (Task,),
    "tenants": (Tenant,),
    "defaults": (TaskPolicy,),
    "triggers": (CronTrigger, IntervalTrigger, OneOffTrigger, EventTrigger),
    "retry": (Retry,),
    "sla": (Sla,),
    "blackouts": (Blackout,),
    "compensation": (Compensation,),
    "quota": (Quota,),
}
"""What stands under a key, or in its list; the empty key is a task that is a file by itself."""


def with_suggestions(problems: Iterable[Problem]) -> list[Problem]:
    """The same problems; those of unknown keys name the closest known one, when one is close.

    Only the first `MOST` do: the search takes time, and a body may have ten thousand such keys.
    """
    found = list(problems)
    return [*map(_suggested, found[:MOST]), *found[MOST:]]


def _suggested(problem: Problem) -> Problem:
    if problem.message != _UNKNOWN or not problem.path:
        return problem
    *around, key = problem.path
    inside = next((step for step in reversed(around) if isinstance(step, str)), "")
    known = {name for model in _INSIDE.get(inside, ()) for name in model.model_fields}
    close = get_close_matches(str(key), sorted(known), n=1)
    if not close:
        return problem
    message = f"{_UNKNOWN}: did you mean {close[0]!r}?"
    return Problem(problem.path, message, problem.line)
