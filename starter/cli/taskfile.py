"""Reading a task file, or standard input, as a registration."""

import re
import sys
from pathlib import Path

from domain.document import Document, parse_json, parse_yaml
from domain.problems import InvalidInput, Problem
from shared.files import MAX_BYTES, read_text
from shared.policy import load_policy
from shared.settings import get_settings
from starter.cli.names import tenant_name
from starter.taskdoc import TaskDocument, placed, read_task_document

STDIN = "-"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Half a letter beyond the first 65,536 as JSON escapes it; YAML has no such halves."""


def read_tasks(file: Path, tenant: str | None) -> TaskDocument:
    """The tasks of a file; what names no tenant belongs to `tenant`.

    The file is a mapping with `tasks`, or one task alone. Errors: `InvalidInput` with every problem
    of the file, its source the file's name, and the paths as they stand in the file.
    """
    tenant_name(tenant)
    policy = load_policy(get_settings().policy_file)
    source = "standard input" if str(file) == STDIN else str(file)
    text = _read_stdin() if str(file) == STDIN else read_text(file)
    try:
        document = _parse(text)
    except InvalidInput as error:
        raise placed(error.problems, source) from error
    return read_task_document(document, policy, tenant=tenant, source=source)


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


def _read_stdin() -> str:
    try:
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            message = f"larger than {MAX_BYTES >> 20} MiB"
            raise InvalidInput([Problem((), message)], "standard input")
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput([Problem((), "not UTF-8 text")], "standard input") from error
