"""Fields that the schema knows and the scheduler does not act on yet.

A task that uses one is refused: one that silently ran without its mutex would be worse than none.
An entry leaves this table in the change that gives its field a behaviour.
"""

from typing import Any

from domain.problems import Path, Problem


def unbuilt_in_task(layer: dict[str, Any], at: Path) -> list[Problem]:
    """The fields of a task, or of defaults for tasks, that are not supported yet."""
    problems = []
    for index, trigger in enumerate(layer.get("triggers", ())):
        if "event" in trigger:
            path = (*at, "triggers", index, "event")
            problems.append(Problem(path, "event triggers are not supported yet"))
    return problems
