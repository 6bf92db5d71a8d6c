"""What bodies hold, for OpenAPI; the bodies themselves are read by `starter.api.bodies`."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from domain.layers import TaskSpec
from domain.tenant import Tenant


class _Schema(GenerateJsonSchema):
    """Some defaults are models with everything left out: those are not shown."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Tell of everything else."""
        if kind != "non-serializable-default":
            super().emit_warning(kind, detail)


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body by itself: nothing in it refers to anything around it."""
    schema = model.model_json_schema(schema_generator=_Schema)
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {name: whole(item) for name, item in value.items() if name != "$ref"}
        if found.get("default", 0) is None:
            del found["default"]  # what is left out comes from the policy; null is refused
        if reference := value.get("$ref"):
            found |= whole(parts[reference.rpartition("/")[2]])
        return found

    inside: dict[str, Any] = whole(schema)
    return inside


def _registration_schema() -> dict[str, Any]:
    task = inlined(TaskSpec)
    task["required"].remove("tenant_id")  # it is the caller's
    several = {
        "type": "object",
        "properties": {
            "tasks": {"type": "array", "items": task},
            "tenants": {"type": "array", "items": inlined(Tenant)},
        },
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"anyOf": [task, several]}


REGISTRATION_SCHEMA = _registration_schema()
REGISTRATION = {
    "task_id": "daily-report",
    "plugin_id": "report-builder",
    "triggers": [{"cron": "0 2 * * *", "timezone": "Asia/Shanghai"}],
    "params": {"scope": "all"},
    "retry": {"max_attempts": 5},
}
