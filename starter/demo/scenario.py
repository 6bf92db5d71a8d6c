"""What the demo runs and what must come of it: the files of `examples/`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.document import parse_json, parse_yaml
from domain.due import due_times
from domain.events_in import parse_batch
from domain.ids import event_run_id, scheduled_run_id
from domain.problems import InvalidInput, problems_of
from domain.registration import Registration, read_registration
from domain.states import RunState
from domain.task import Task
from shared.files import read_text
from shared.policy import load_policy
from shared.settings import ROOT, get_settings
from starter.taskdoc import read_task_document

EXAMPLES = ROOT / "examples"
MARGIN = timedelta(seconds=1.5)
"""How far from every fire the demo's first and last moment stay, so that no fire is in doubt."""

Key = tuple[str, str]
Result = TypeVar("Result")


class Expected(BaseModel):
    """How every run of one task ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: RunState
    attempts: int
    effects: int
    error_code: str | None = None
    compensated: bool = False
    work_order: bool = False


class _ExpectedFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    runs: dict[str, Expected]
    events: dict[str, list[str]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The tasks, and by task what their runs come to.

    `body` registers `by_api` through the API; `batch` is of the events, which start `event_runs`
    (id -> task).
    """

    registration: Registration
    expected: dict[Key, Expected]
    body: str
    by_api: Task
    batch: str
    event_runs: dict[str, Key]

    @property
    def tasks(self) -> Sequence[Task]:
        """The example tasks."""
        return *self.registration.tasks, self.by_api

    def groups(self) -> dict[str, frozenset[Key]]:
        """The tasks that must never run at once, by the mutex group that they share."""
        found: dict[str, set[Key]] = {}
        for task in self.tasks:
            limits = self.registration.tenants[task.tenant_id].mutex_groups
            for group in task.mutex:
                if limits[group] == 1:
                    key = (task.tenant_id, task.task_id)
                    found.setdefault(f"{task.tenant_id}/{group}", set()).add(key)
        return {group: frozenset(keys) for group, keys in found.items()}


def load_scenario() -> Scenario:
    """Read the example files. Errors: `InvalidInput` with every problem and its file."""
    policy = load_policy(get_settings().policy_file)
    tasks = EXAMPLES / "tasks.yaml"
    registration = _from(tasks, lambda text: read_registration(parse_yaml(text), policy))
    body, by_api = _from(
        EXAMPLES / "registration.json",
        lambda text: (text, read_task_document(parse_json(text), policy).registration.tasks[0]),
    )
    expected = _from(EXAMPLES / "expected.yaml", _read_expected)
    batch, events = _from(
        EXAMPLES / "events.json", lambda text: (text, parse_batch(parse_json(text).data))
    )
    sources = {event.id: event.source for event in events}
    return Scenario(
        registration,
        {_key_of(name): value for name, value in expected.runs.items()},
        body,
        by_api,
        batch,
        {
            event_run_id(*_key_of(name), sources[event_id], event_id): _key_of(name)
            for name, ids in expected.events.items()
            for event_id in ids
        },
    )


def _from(path: Path, read: Callable[[str], Result]) -> Result:
    try:
        return read(read_text(path))
    except InvalidInput as error:
        raise InvalidInput(error.problems, str(path)) from error


def _read_expected(text: str) -> _ExpectedFile:
    document = parse_yaml(text)
    try:
        return _ExpectedFile.model_validate(document.data)
    except ValidationError as error:
        raise InvalidInput(document.placed(problems_of(error))) from error


def _key_of(name: str) -> Key:
    tenant_id, _, task_id = name.partition("/")
    return tenant_id, task_id


def due_runs(task: Task, after: datetime, until: datetime) -> dict[str, datetime]:
    """The ids of the runs that a task owes between two moments, with their trigger times."""
    return {
        scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time): due.trigger_time
        for due in due_times(task, after=after, until=until)
    }


def quiet_moment(tasks: Sequence[Task], after: datetime) -> datetime:
    """The first moment from `after` on with no fire within `MARGIN` of it."""
    end = after + timedelta(minutes=5)
    start = after - MARGIN
    fires = sorted(
        due.trigger_time for task in tasks for due in due_times(task, after=start, until=end)
    )
    moment = after
    for at in fires:
        if at - moment > MARGIN:
            return moment
        moment = max(moment, at + MARGIN)
    return moment
