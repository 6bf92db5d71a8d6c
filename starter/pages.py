"""Long lists page by page, as Temporal pages them: a page costs what is on it."""

import base64
import binascii
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Generic, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import parse_schedule_id
from domain.problems import InvalidInput, Problem
from domain.states import RunState
from starter.control import describe_task
from starter.rpc import temporal_errors
from starter.runs import RunView, newest_first, runs_query, view_of, with_pauses
from starter.tasks import TaskView, views_of

MOST = 1000
"""Of one page: Temporal gives no more."""
_SEAL = 8
"""Bytes of a cursor that say which list it is of."""
_WRONG_TOKEN = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.UNKNOWN)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of a list; `cursor` is where the next page begins, None at the list's end."""

    items: list[Item]
    cursor: str | None


async def page_of_tasks(
    client: Client,
    tenant_id: str,
    *,
    plugin_id: str | None = None,
    paused: bool | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[TaskView]:
    """Tasks of a tenant, the newest registered first. A change may show a second later.

    What was registered since the first page is on none of the others. Errors: `InvalidInput` for
    a cursor of another list.
    """
    query = f"TenantId = '{tenant_id}'"
    query += f" AND PluginId = '{plugin_id}'" if plugin_id else ""
    query += "" if paused is None else f" AND TemporalSchedulePaused = {str(paused).lower()}"
    token, _ = _opened(query, cursor)
    with temporal_errors(), _cursor_errors(cursor):
        found = await client.list_schedules(query, page_size=limit, next_page_token=token)
        await found.fetch_next_page()
    entries = {
        key: entry for entry in found.current_page or () if (key := parse_schedule_id(entry.id))
    }
    views = await views_of(client, tenant_id, entries)
    return Page(list(views.values()), _cursor(query, found.next_page_token))


async def page_of_runs(
    client: Client,
    tenant_id: str,
    task_id: str,
    *,
    status: RunState | None = None,
    since: datetime | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[RunView]:
    """Runs of a task, the latest started first; of a page those that were due last come first.

    All pages are of those that started since the first page's `since`. Errors: as of
    `page_of_tasks`; `NotFound` for a task that is not registered and has no runs.
    """
    list_of = runs_query(tenant_id, task_id, status, None)
    token, began = _opened(list_of, cursor)
    since = began if cursor else since
    query = runs_query(tenant_id, task_id, status, since)
    with temporal_errors(), _cursor_errors(cursor):
        found = client.list_workflows(query, page_size=limit, next_page_token=token)
        await found.fetch_next_page()
    views = [view for execution in found.current_page or () if (view := await view_of(execution))]
    if not views:
        await describe_task(client, tenant_id, task_id)  # no runs, or no such task?
    runs = await with_pauses(client, newest_first(views))
    return Page(runs, _cursor(list_of, found.next_page_token, since))


def _cursor(query: str, token: bytes | None, since: datetime | None = None) -> str | None:
    if not token:
        return None
    began = since.isoformat() if since else ""
    content = _seal(query) + len(began).to_bytes() + began.encode() + token
    return base64.urlsafe_b64encode(content).decode()


def _opened(query: str, cursor: str | None) -> tuple[bytes | None, datetime | None]:
    """What a cursor of this very list stands for, and its `since`. Errors: `InvalidInput`."""
    if cursor is None:
        return None, None
    try:
        content = base64.b64decode(cursor, altchars=b"-_", validate=True)
        length = content[_SEAL]
        began, token = content[_SEAL + 1 :][:length].decode(), content[_SEAL + 1 + length :]
        since = datetime.fromisoformat(began) if began else None
    except (binascii.Error, ValueError, IndexError):
        raise _bad_cursor() from None
    if content[:_SEAL] != _seal(query) or not token or (since and since.tzinfo is None):
        raise _bad_cursor()
    return token, since


def _seal(query: str) -> bytes:
    return blake2b(query.encode(), digest_size=_SEAL).digest()


@contextlib.contextmanager
def _cursor_errors(cursor: str | None) -> Iterator[None]:
    """Temporal refuses a token that is none of its own, or fails over it: the cursor is wrong."""
    try:
        yield
    except RPCError as error:
        if cursor is not None and error.status in _WRONG_TOKEN:
            raise _bad_cursor() from error
        raise


def _bad_cursor() -> InvalidInput:
    message = "is not one that this list gave: begin without one, and keep the other parameters"
    return InvalidInput([Problem(("cursor",), message)])
