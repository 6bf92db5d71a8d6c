"""What the schema knows and the scheduler does not act on yet.

A task that uses it is refused: one that is never fired, in silence, would be worse than none.
"""

from typing import Any

from domain.problems import Path, Problem


def unbuilt_in_task(layer: dict[str, Any], at: Path) -> list[Problem]:
    """What a task asks for that is not supported yet."""
    problems = []
    for index, trigger in enumerate(layer.get("triggers", ())):
        if "event" in trigger:
            path = (*at, "triggers", index, "event")
            problems.append(Problem(path, "event triggers are not supported yet"))
    return problems
