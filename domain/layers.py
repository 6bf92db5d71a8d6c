"""Layering: what a task leaves out comes from its tenant, what that leaves out from the default.

Each layer is read by the partial form of the same models, so that a mistake is found in the layer
that made it; only then are they merged. Policy blocks (`retry`, `sla`) merge key by key, everything
else (lists, `params`, `resources`) is taken whole from the innermost layer that has it.
"""

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, create_model

from domain.task import Model, Name, Retry, Sla, Task, TaskPolicy, Trigger

BLOCKS: dict[str, type[Model]] = {"retry": Retry, "sla": Sla}
_REQUIRED = {"tenant_id", "task_id", "plugin_id", "triggers"}


@cache
def partial(model: type[Model]) -> type[Model]:
    """The model with every field but a task's own ids and triggers left to other layers."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if model is Task and name in _REQUIRED:
            continue
        kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        if name in BLOCKS and model is not BLOCKS[name]:
            kind = partial(BLOCKS[name]) | None if name == "sla" else partial(BLOCKS[name])
        fields[name] = (kind, None)
    if model is Task:
        fields |= dict.fromkeys(("tenant_id", "task_id", "plugin_id"), (Name, ...))
        info = Task.model_fields["triggers"]
        fields["triggers"] = (Annotated[list[Trigger], *info.metadata], ...)
    return create_model(f"{model.__name__}Spec", __base__=Model, __doc__=model.__doc__, **fields)


TaskSpec = partial(Task)
"""What people write for a task."""
TaskDefaults = partial(TaskPolicy)
"""What a tenant may say for all its tasks."""


def said(layer: BaseModel) -> dict[str, Any]:
    """What a layer says itself, as Python values."""
    return layer.model_dump(exclude_unset=True)


def merge(*layers: dict[str, Any], sla_defaults: dict[str, Any]) -> dict[str, Any]:
    """One mapping of fields from the outermost layer to the innermost."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            base = merged.get(name)
            if name in BLOCKS and isinstance(value, dict):
                merged[name] = {**(base or {}), **value}
            else:
                merged[name] = value
    if isinstance(merged.get("sla"), dict):
        merged["sla"] = {**sla_defaults, **merged["sla"]}
    return merged
