"""What people name on a command line: tenants, tasks, times, and themselves."""

import getpass
import os
import re

from pydantic import JsonValue

from domain.document import parse_json
from domain.ids import NAME
from domain.problems import InvalidInput, Problem, shown

_NAME = re.compile(NAME)
_KEY = re.compile(r"[!-~]{1,200}")
_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
MAX_PAYLOAD = 64 * 1024


def bad(what: str, message: str) -> InvalidInput:
    """A command line's value that is refused, by the name of its argument or option."""
    return InvalidInput([Problem((what,), message)])


def tenant_name(tenant: str | None) -> str | None:
    """The tenant if it can be one. Names stand in queries: nothing else gets through."""
    if tenant is not None and not _NAME.fullmatch(tenant):
        raise bad("tenant", f"{shown(tenant)} is not a name: {_RULE}")
    return tenant


def loose_key(text: str, tenant: str | None) -> tuple[str | None, str]:
    """(tenant or None, task id) of `task-id` or `tenant/task-id`; a tenant in the text wins."""
    prefix, slash, task_id = text.rpartition("/")
    tenant_id = tenant_name(prefix if slash else tenant)
    if not _NAME.fullmatch(task_id):
        raise bad("task", f"{shown(task_id)} is not a name: {_RULE}")
    return tenant_id, task_id


def task_key(text: str, tenant: str | None) -> tuple[str, str]:
    """(tenant, task id), both known. Errors: `InvalidInput` when nothing names the tenant."""
    tenant_id, task_id = loose_key(text, tenant)
    if tenant_id is None:
        message = f"which tenant's? Write TENANT/{task_id}, or give --tenant or TASKFLOW_TENANT"
        raise bad("task", message)
    return tenant_id, task_id


def payload_of(text: str | None) -> JsonValue:
    """The JSON value of `--payload`; None when there is none."""
    if text is None:
        return None
    if len(text.encode()) > MAX_PAYLOAD:
        raise bad("payload", f"larger than {MAX_PAYLOAD >> 10} KiB")
    try:
        value: JsonValue = parse_json(text).data
    except InvalidInput as error:
        problems = [Problem(("payload", *p.path), p.message) for p in error.problems]
        raise InvalidInput(problems) from error
    return value


def key_of(text: str | None) -> str | None:
    """The key of a manual run; it becomes part of the run's id."""
    if text is not None and not _KEY.fullmatch(text):
        raise bad("key", "must be 1 to 200 visible ASCII characters, without blanks")
    return text


def who() -> str:
    """The person, for the notes on a schedule."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
