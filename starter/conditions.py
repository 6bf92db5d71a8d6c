"""Changes that depend on what is there: a task's tag, and If-Match and If-None-Match over it."""

import json
import re
import struct
from dataclasses import dataclass
from hashlib import blake2b

from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow
from temporalio.service import RPCError

from domain.ids import schedule_id
from domain.problems import InvalidInput, Problem
from domain.task import Task
from shared.calls import is_missing
from shared.errors import Conflict
from shared.registry import Key
from shared.schedules import read_task
from starter.rpc import temporal_errors

_ANY = "*"
_TAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[!#-~]*)"')


class PreconditionFailed(Conflict):
    """What is there is not what the caller has seen; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "PRECONDITION_FAILED")


def tag_of(task: Task, weight: float, task_queue: str) -> str:
    """What tells specifications of a task apart: the same for the same one.

    Not the digest among the search attributes: those follow a change a moment later.
    """
    whole = [task.model_dump(mode="json"), _single(weight), task_queue]
    return blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=16).hexdigest()


async def tag_in(client: Client, schedule: Schedule) -> str:
    """The tag of the task that a described schedule carries; empty when it is not one of ours."""
    task, action = await read_task(client, schedule), schedule.action
    if task is None or not isinstance(action, ScheduleActionStartWorkflow):
        return ""
    weight = action.priority.fairness_weight
    return tag_of(task, 1.0 if weight is None else weight, action.task_queue)


async def tag_now(client: Client, key: Key) -> str | None:
    """The tag of a task as it is registered; None when it is not."""
    with temporal_errors():
        handle = client.get_schedule_handle(schedule_id(*key))
        try:
            description = await handle.describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            return None
        return await tag_in(client, description.schedule)


def etag_of(tag: str | None) -> dict[str, str]:
    """The header that tells it."""
    return {"ETag": f'"{tag}"'} if tag else {}


@dataclass(frozen=True, slots=True)
class Condition:
    """`match`: tags one of which must be there; `none_match`: tags none of which may be.

    None: that is no matter. `*` in either is any task at all.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return self.match is not None or self.none_match is not None

    def check(self, tag: str | None) -> None:
        """Let a change of the task with this tag happen; None: there is no such task.

        Errors: `PreconditionFailed`.
        """
        if self.match is not None and not _has(self.match, tag):
            what = "does not exist" if tag is None else "is another by now: read it again"
            raise PreconditionFailed(f"If-Match: the task {what}. Nothing was changed.")
        if self.excludes(tag):
            raise PreconditionFailed("If-None-Match: the task exists. Nothing was changed.")

    def excludes(self, tag: str | None) -> bool:
        """Whether If-None-Match names what is there."""
        return self.none_match is not None and _has(self.none_match, tag)


def condition_of(if_match: str | None, if_none_match: str | None = None) -> Condition:
    """The condition of a request's headers. Errors: `InvalidInput` for what is no list of tags."""
    return Condition(
        None if if_match is None else _tags("If-Match", if_match, weak=False),
        None if if_none_match is None else _tags("If-None-Match", if_none_match, weak=True),
    )


def _has(tags: frozenset[str], tag: str | None) -> bool:
    return tag is not None and (_ANY in tags or tag in tags)


def _tags(header: str, text: str, *, weak: bool) -> frozenset[str]:
    """A weak tag says nothing of whether a change may be made: If-Match takes none."""
    if text.strip() == _ANY:
        return frozenset({_ANY})
    found: set[str] = set()
    for part in text.split(","):
        tag = _TAG.fullmatch(part.strip())
        if tag is None:
            message = 'must be * or a list of entity tags such as "0a1b"'
            raise InvalidInput([Problem((header,), message)])
        if weak or not tag["weak"]:
            found.add(tag["tag"])
    return frozenset(found)


def _single(weight: float) -> float:
    """As Temporal keeps it: with half of the digits."""
    single: float = struct.unpack("f", struct.pack("f", weight))[0]
    return single
