"""What the tasks and tenants of a simulation are like, as a file says it."""

import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from domain.document import Document, parse_yaml
from domain.duration import Duration
from domain.policy import Policy
from domain.problems import InvalidInput, problems_of
from domain.registration import read_registration
from domain.task import Model, Task, Trigger
from shared.errors import TaskflowError

DEFAULT = Path(__file__).with_name("mix.yaml")
TENANT, TASK = "tenant", "task"
_RANGE = re.compile(r"\{(\d+)-(\d+)\}")
_TRIGGERS = TypeAdapter(list[Trigger])

Weight = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Lasts(Model):
    """How long runs take: of each task once, log-normal, a second at least."""

    median: Duration = timedelta(seconds=30)
    sigma: Annotated[float, Field(ge=0, le=3)] = 1.2
    longest: Duration = timedelta(minutes=30)

    def draw(self, random: Random) -> timedelta:
        """Of one task, in whole seconds."""
        seconds = self.median.total_seconds() * random.lognormvariate(0.0, self.sigma)
        return timedelta(seconds=round(max(1.0, min(seconds, self.longest.total_seconds()))))


class Kind(Model):
    """When tasks fire; `lasts` when their runs take other times than most."""

    weight: Weight
    task: dict[str, Any]
    lasts: Lasts | None = None


class Need(Model):
    """What runs need, or how they stand to each other."""

    weight: Weight
    task: dict[str, Any] = Field(default_factory=dict)


class Quotas(Model):
    """What tenants may use at once: units for each of their tasks."""

    weight: Weight
    per_task: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


class Mix(Model):
    """A whole file."""

    start: AwareDatetime
    tasks: Count
    tenants: Count
    skew: Annotated[float, Field(ge=0, le=3)]
    staggered: Share
    tasks_per_group: Count
    kinds: Annotated[list[Kind], Field(min_length=1)]
    needs: Annotated[list[Need], Field(min_length=1)]
    quotas: Annotated[list[Quotas], Field(min_length=1)]
    lasts: Lasts

    @model_validator(mode="after")
    def _has_tenants(self) -> "Mix":
        if self.tasks < self.tenants:
            raise ValueError(f"{self.tenants} tenants have {self.tasks} tasks: fewer than one each")
        return self


def read_mix(path: Path, **instead: Any) -> Mix:
    """A file, with other values for some of its fields.

    With other tasks and no other tenants, the tenants are as large as they were. Errors:
    `TaskflowError` for a file that cannot be read, `InvalidInput` with every problem of it.
    """
    try:
        document = parse_yaml(path.read_text())
    except OSError as error:
        raise TaskflowError(f"{path} cannot be read: {error.strerror}") from error
    try:
        said = Mix.model_validate(document.data)
        other = {name: value for name, value in instead.items() if value is not None}
        if "tasks" in other and "tenants" not in other:
            other["tenants"] = max(1, round(said.tenants / said.tasks * other["tasks"]))
        return Mix.model_validate(said.model_dump() | other)
    except ValidationError as error:
        raise InvalidInput(document.placed(problems_of(error))) from error


class Templates:
    """A task of each kind with each need, read and checked as a registration is.

    Errors: `InvalidInput` for what a registration would be refused for.
    """

    def __init__(self, mix: Mix, policy: Policy) -> None:
        groups = {name: 1 for need in mix.needs for name in need.task.get("mutex", ())}
        tenant = {"tenant_id": TENANT, "mutex_groups": groups}
        kinds = [kind.task for kind in mix.kinds]
        needs = [{**kinds[0], **need.task} for need in mix.needs]
        said = [
            filled(fields, seeded(""))
            | {"tenant_id": TENANT, "task_id": f"{TASK}-{number}", "plugin_id": "plugin"}
            for number, fields in enumerate([*kinds, *needs])
        ]
        tasks = read_registration(Document({"tenants": [tenant], "tasks": said}), policy).tasks
        self._tasks = [
            [
                task.model_copy(update={name: getattr(wanting, name) for name in need.task})
                for need, wanting in zip(mix.needs, tasks[len(kinds) :], strict=True)
            ]
            for task in tasks[: len(kinds)]
        ]

    def task(self, kind: int, need: int) -> Task:
        """Its ids, triggers and groups are to be replaced."""
        return self._tasks[kind][need]


def sizes_of(mix: Mix) -> list[int]:
    """How many tasks each tenant has, the largest first: one at least, and together all."""
    shares = [(number + 1) ** -mix.skew for number in range(mix.tenants)]
    spare, whole = mix.tasks - mix.tenants, sum(shares)
    sizes, before, given = [], 0.0, 0
    for share in shares:
        before += share
        more = round(spare * before / whole) - given
        given += more
        sizes.append(1 + more)
    return sizes


def seeded(seed: str) -> Random:
    """What is drawn is to be drawn again, and no secret."""
    return Random(seed)  # noqa: S311


def filled(said: Any, random: Random) -> Any:
    """With a number for each range."""
    if isinstance(said, str):
        return _RANGE.sub(lambda found: str(random.randint(int(found[1]), int(found[2]))), said)
    if isinstance(said, dict):
        return {key: filled(value, random) for key, value in said.items()}
    return [filled(value, random) for value in said] if isinstance(said, list) else said


def has_ranges(said: Any) -> bool:
    """Whether tasks of one kind differ in this."""
    return _RANGE.search(json.dumps(said)) is not None


@cache
def triggers_of(said: str) -> list[Trigger]:
    """Of JSON; tasks with the same triggers share them."""
    return _TRIGGERS.validate_json(said)
