"""What is wrong with an input: all of it at once, each with its place."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where in the document (`tasks[0].retry.max_attempts`), and how."""

    path: Path
    message: str
    line: int | None = None

    @property
    def where(self) -> str:
        """The path as people write it."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text

    def as_json(self) -> dict[str, Any]:
        """`{"path", "message"}`, with `"line"` where a file has lines."""
        document: dict[str, Any] = {"path": self.where, "message": self.message}
        return document | {"line": self.line} if self.line else document

    def __str__(self) -> str:
        place = ": ".join(filter(None, [f"line {self.line}" if self.line else "", self.where]))
        return f"{place}: {self.message}" if place else self.message


class InvalidInput(Exception):  # noqa: N818 - it says what the input is, not what went wrong
    """The input is refused whole; `problems` says everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems: Sequence[Problem] = sorted(
            problems, key=lambda p: (p.line or 0, [str(step).zfill(6) for step in p.path])
        )
        self.source = source
        super().__init__("; ".join(str(problem) for problem in self.problems))


_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not a known key",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "timezone_aware": "needs an offset from UTC, such as 2027-01-01T02:00:00+08:00",
}
_NOT_STEPS = {"<cron>", "<every>", "<at>", "<event>", "[key]"}
"""What pydantic adds to a location: tags of discriminated unions and the mark of a key."""
_MOST_SHOWN = 60
_NAME_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"


def problems_of(error: ValidationError, at: Path = ()) -> list[Problem]:
    """A pydantic error as problems below `at`; what pydantic adds to the path leaves it."""
    return problems_of_details(error.errors(include_url=False), at)


def problems_of_details(details: Iterable[Any], at: Path = ()) -> list[Problem]:
    """The same of the details of such an error."""
    return [
        Problem(
            at + tuple(step for step in detail["loc"] if step not in _NOT_STEPS),
            _sentence(detail["type"], detail["msg"], detail.get("input"), detail.get("ctx", {})),
        )
        for detail in details
    ]


def _sentence(kind: str, message: str, value: Any, context: dict[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind in ("datetime_from_date_parsing", "datetime_parsing", "datetime_type"):
        return f"{shown(value)} is not a time: write it as 2027-01-01T02:00:00+08:00"
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not a name: {_NAME_RULE}"
    sentence = _SENTENCES.get(kind, message[:1].lower() + message[1:])
    if kind in ("missing", "extra_forbidden", "trigger_kind"):
        return sentence
    return f"{sentence}, and this is {shown(value)}"


def shown(value: Any) -> str:
    """A value of the input as a message shows it, cut to one line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
