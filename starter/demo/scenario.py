"""What the demo runs and what must come of it: the files of `examples/`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.document import parse_yaml
from domain.due import due_times
from domain.ids import scheduled_run_id
from domain.problems import InvalidInput, problems_of
from domain.registration import Registration, read_registration
from domain.states import RunState
from domain.task import Task
from shared.files import read_text
from shared.policy import load_policy
from shared.settings import ROOT, get_settings

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


@dataclass(frozen=True, slots=True)
class Scenario:
    """The tasks, and by task what their runs come to."""

    registration: Registration
    expected: dict[Key, Expected]

    @property
    def tasks(self) -> Sequence[Task]:
        """The example tasks."""
        return self.registration.tasks

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
    tasks_file, expected_file = EXAMPLES / "tasks.yaml", EXAMPLES / "expected.yaml"
    policy = load_policy(get_settings().policy_file)
    registration = _from(tasks_file, lambda text: read_registration(parse_yaml(text), policy))
    expected = _from(expected_file, _read_expected)
    return Scenario(registration, expected)


def _from(path: Path, read: Callable[[str], Result]) -> Result:
    try:
        return read(read_text(path))
    except InvalidInput as error:
        raise InvalidInput(error.problems, str(path)) from error


def _read_expected(text: str) -> dict[Key, Expected]:
    document = parse_yaml(text)
    try:
        found = _ExpectedFile.model_validate(document.data)
    except ValidationError as error:
        raise InvalidInput(document.placed(problems_of(error))) from error
    return {(key.split("/")[0], key.split("/")[1]): value for key, value in found.runs.items()}


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
