"""What the models say of their fields, in the words of `docs/tasks.md`."""

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from domain.ids import NAME
from shared.policy import load_policy
from shared.settings import ROOT

POLICY = load_policy(ROOT / "config/tasks/default_policy.yaml").model_dump(mode="json")
_DURATIONS = ["30s", "15m", "1h30m"]
_SECTIONS = {
    "Retry": "retry",
    "Sla": "sla",
    "SlaSpec": "sla",
    "Compensation": "compensation",
    "Blackout": "blackouts",
    "Quota": "quota",
    "Flags": "flags",
    "Limits": "limits",
    "AdmissionPolicy": "admission",
    "TaskPolicy": "what-a-policy-may-say-too",
    "TaskPolicySpec": "what-a-policy-may-say-too",
    "TenantPolicy": "of-one-tenant",
}


class _Schema(GenerateJsonSchema):
    """Defaults are read from the models themselves."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"non-serializable-default"}  # noqa: RUF012 - as its base has it


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """By the names that files use."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def says(info: FieldInfo) -> str:
    """What a field may say, and its bounds."""
    kind: Any = info.annotation
    for one in info.metadata:
        kind = Annotated[kind, one]
    schema = TypeAdapter(kind).json_schema(schema_generator=_Schema)
    return _words(schema, schema.get("$defs", {}))


def left_out(name: str, info: FieldInfo, defaults: dict[str, Any] | None) -> str:
    """What holds when it is left out; `defaults`: of the policy file."""
    if defaults is not None and name in defaults:
        return _value(defaults[name])
    if info.is_required():
        return "required"
    found = info.get_default(call_default_factory=True)
    return _value(found)


def _value(value: Any) -> str:  # noqa: PLR0911 - one for each kind
    match value:
        case None:
            return "none"
        case Enum():
            return f"`{value.value}`"
        case bool():
            return f"`{str(value).lower()}`"
        case BaseModel():
            return "nothing"
        case "":
            return "empty"
        case dict():
            return "see there" if value else "`{}`"
        case list():
            return f"`[{', '.join(value)}]`"
    return f"`{value}`"


def _words(  # noqa: PLR0911 - one for each kind
    schema: dict[str, Any], known: dict[str, Any]
) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in _SECTIONS:
            return f"[mapping](#{_SECTIONS[name]})"
        return _words(known[name], known)
    if "anyOf" in schema:
        return " or ".join(_words(one, known) for one in schema["anyOf"])
    if "oneOf" in schema:
        return "[triggers](#triggers)"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    match schema.get("type"):
        case "null":
            return "null"
        case "boolean":
            return "true, false"
        case "integer" | "number":
            return _number(schema)
        case "array":
            return _list(schema, known)
        case "object":
            return _mapping(schema, known)
        case "string":
            return _text(schema)
    return "any JSON"


def _number(schema: dict[str, Any]) -> str:
    word = "whole number" if schema["type"] == "integer" else "number"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{word}, {least:,g} to {most:,.0f}"
    if least is not None:
        return f"{word}, at least {least:,g}"
    above, below = schema["exclusiveMinimum"], schema["exclusiveMaximum"]
    return f"{word} between {above:g} and {below:g}"


def _list(schema: dict[str, Any], known: dict[str, Any]) -> str:
    what = _words(schema["items"], known)
    most = f", {schema.get('minItems', 0)} to {schema['maxItems']}" if "maxItems" in schema else ""
    return f"list: {what}{most}"


def _mapping(schema: dict[str, Any], known: dict[str, Any]) -> str:
    if schema.get("title") in _SECTIONS:
        return f"[mapping](#{_SECTIONS[schema['title']]})"
    if "patternProperties" in schema:
        (value,) = schema["patternProperties"].values()
        return f"mapping: name to {_words(value, known)}"
    value = schema.get("additionalProperties")
    return f"mapping: text to {_words(value, known)}" if isinstance(value, dict) else "mapping"


def _text(schema: dict[str, Any]) -> str:
    if schema.get("examples") == _DURATIONS:
        return "duration"
    if schema.get("format") == "date-time":
        return "time"
    if schema.get("pattern") == f"^{NAME}$":
        return "name"
    most = schema.get("maxLength")
    least = schema.get("minLength", 0)
    return f"text, {least} to {most:,} characters" if most else "text"
