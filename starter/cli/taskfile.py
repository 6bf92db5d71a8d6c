"""Reading a task file, or standard input, as a registration."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domain.document import Document, parse_json, parse_yaml
from domain.problems import InvalidInput, Problem
from domain.registration import Registration, read_registration
from shared.files import MAX_BYTES, read_text
from shared.policy import load_policy
from shared.settings import get_settings
from starter.cli.names import tenant_name
from starter.suggest import with_suggestions

STDIN = "-"
_TASK_KEYS = {"task_id", "plugin_id", "triggers"}
_FIRST_TASK = ("tasks", 0)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Half a letter beyond the first 65,536 as JSON escapes it; YAML has no such halves."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file that is right in itself, and what places the problems that it has with others."""

    registration: Registration
    source: str
    _document: Document
    _alone: bool

    def placed(self, error: InvalidInput) -> InvalidInput:
        """The same problems with the file's name, its lines, and the paths as they stand in it."""
        return _placed(self._document.placed(list(error.problems)), self.source, alone=self._alone)


def read_tasks(file: Path, tenant: str | None) -> TaskFile:
    """The tasks of a file; what names no tenant belongs to `tenant`.

    The file is a mapping with `tasks`, or one task alone. Errors: `InvalidInput` with every problem
    of the file, its source the file's name, and the paths as they stand in the file.
    """
    tenant_name(tenant)
    policy = load_policy(get_settings().policy_file)
    source = "standard input" if str(file) == STDIN else str(file)
    text = _read_stdin() if str(file) == STDIN else read_text(file)
    alone = False
    try:
        document = _parse(text)
        alone = _is_one_task(document)
        document = _listed(document) if alone else document
        registration = read_registration(document, policy, tenant=tenant)
    except InvalidInput as error:
        raise _placed(error.problems, source, alone=alone) from error
    return TaskFile(registration, source, document, alone)


def _placed(problems: Iterable[Problem], source: str, *, alone: bool) -> InvalidInput:
    own = [_unlisted(problem) for problem in problems] if alone else problems
    return InvalidInput(with_suggestions(own), source)


def _parse(text: str) -> Document:
    """JSON by JSON's rules with the lines that reading it as YAML finds; anything else as YAML."""
    if text.lstrip()[:1] not in ("{", "["):
        return parse_yaml(text)
    try:
        document = parse_json(text)
    except InvalidInput:
        return parse_yaml(text)  # YAML in braces, or an error that YAML places better
    try:
        read_as_yaml = parse_yaml(_SURROGATE.sub("......", text))
    except InvalidInput:
        return document
    return Document(document.data, read_as_yaml.lines)


def _is_one_task(document: Document) -> bool:
    data = document.data
    return isinstance(data, dict) and "tasks" not in data and bool(_TASK_KEYS & data.keys())


def _listed(document: Document) -> Document:
    lines = {(*_FIRST_TASK, *path): line for path, line in document.lines.items()}
    return Document({"tasks": [document.data]}, lines)


def _unlisted(problem: Problem) -> Problem:
    path = problem.path
    own = path[2:] if path[:2] == _FIRST_TASK else path
    return Problem(own, problem.message, problem.line)


def _read_stdin() -> str:
    try:
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            message = f"larger than {MAX_BYTES >> 20} MiB"
            raise InvalidInput([Problem((), message)], "standard input")
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput([Problem((), "not UTF-8 text")], "standard input") from error
