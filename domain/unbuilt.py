"""Fields that the schema knows and the scheduler does not act on yet.

A task that uses one is refused: one that silently ran without its mutex would be worse than none.
An entry leaves this table in the change that gives its field a behaviour.
"""

from typing import Any

from domain.problems import Path, Problem

# Field -> (values that ask for nothing, what the field would do).
_TASK_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "compensation": ((None,), "compensations"),
    "sla": ((None,), "SLA checks"),
    "work_order": (("never",), "work orders"),
}


def unbuilt_in_task(layer: dict[str, Any], at: Path) -> list[Problem]:
    """The fields of a task, or of defaults for tasks, that are not supported yet."""
    problems = [
        Problem((*at, name), f"{what} are not supported yet: leave the key out")
        for name, (harmless, what) in _TASK_FIELDS.items()
        if name in layer and layer[name] not in harmless
    ]
    for index, trigger in enumerate(layer.get("triggers", ())):
        if "event" in trigger:
            path = (*at, "triggers", index, "event")
            problems.append(Problem(path, "event triggers are not supported yet"))
    return problems
