"""Fields that the schema knows and the scheduler does not act on yet.

A task that uses one is refused: one that silently ran without its mutex would be worse than none.
An entry leaves this table in the change that gives its field a behaviour.
"""

from typing import Any

from domain.problems import Path, Problem

# Field -> (values that ask for nothing, what the field would do).
_TASK_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "resources": (({},), "resource quotas"),
    "mutex": (([],), "mutex groups"),
    "on_conflict": ((), "conflict rules"),
    "queue_timeout": ((), "queue deadlines"),
    "expected_duration": ((None,), "forecasts"),
    "compensation": ((None,), "compensations"),
    "sla": ((None,), "SLA checks"),
    "work_order": (("never",), "work orders"),
}
_TENANT_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "quota": ((), "tenant quotas"),
    "mutex_groups": (({},), "mutex groups"),
}
_OVERLAPS = ("skip", "allow")


def unbuilt_in_task(layer: dict[str, Any], at: Path) -> list[Problem]:
    """The fields of a task, or of a tenant's defaults, that are not supported yet."""
    problems = _unbuilt(layer, at, _TASK_FIELDS)
    if (overlap := layer.get("overlap")) is not None and overlap not in _OVERLAPS:
        problems.append(
            Problem((*at, "overlap"), f"{overlap.value!r} is not supported yet: use skip or allow")
        )
    for index, trigger in enumerate(layer.get("triggers", ())):
        if "event" in trigger:
            path = (*at, "triggers", index, "event")
            problems.append(Problem(path, "event triggers are not supported yet"))
    return problems


def unbuilt_in_policy(defaults: dict[str, Any], at: Path) -> list[Problem]:
    """The same for the defaults of all, which must name every field: those that bite are others."""
    named = {"on_conflict", "queue_timeout"}
    return unbuilt_in_task({name: defaults[name] for name in defaults.keys() - named}, at)


def unbuilt_in_tenant(layer: dict[str, Any], at: Path) -> list[Problem]:
    """The fields of a tenant that are not supported yet, its defaults included."""
    problems = _unbuilt(layer, at, _TENANT_FIELDS)
    return problems + unbuilt_in_task(layer.get("defaults", {}), (*at, "defaults"))


def _unbuilt(
    layer: dict[str, Any], at: Path, fields: dict[str, tuple[tuple[Any, ...], str]]
) -> list[Problem]:
    return [
        Problem((*at, name), f"{what} are not supported yet: leave the key out")
        for name, (harmless, what) in fields.items()
        if name in layer and layer[name] not in harmless
    ]
