"""Tenants and their tasks, drawn from a mix: the same seed and number give the same tenant."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from benchmarks.million.mix import Kind, Mix, Templates, filled, has_ranges, seeded, triggers_of
from domain.crowd import Crowd, most_at_once
from domain.limits import TenantLimits
from domain.policy import Policy
from domain.task import Task

LEAST_UNITS = 5
"""Of a quota: a tenant of a few tasks may still run some at once."""
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A tenant. `moved`: tasks with a spread; `refused`: those for which no minute had room."""

    tenant_id: str
    limits: TenantLimits
    tasks: list[Task]
    moved: int
    refused: int


class Draws:
    """Draws tenants. Errors: `InvalidInput` for tasks that a registration would refuse."""

    def __init__(self, mix: Mix, policy: Policy, seed: int) -> None:
        self._mix = mix
        self._policy = policy
        self._seed = seed
        self._day: date = mix.start.date()
        self._templates = Templates(mix, policy)
        self._kind_weights = [kind.weight for kind in mix.kinds]
        self._need_weights = [need.weight for need in mix.needs]
        self._quota_weights = [quotas.weight for quotas in mix.quotas]
        self._said = [json.dumps(kind.task["triggers"]) for kind in mix.kinds]
        self._ranges = [has_ranges(kind.task["triggers"]) for kind in mix.kinds]
        self._loads: dict[str, int] = {}

    def tenant(self, number: int, size: int) -> Drawn:
        """One with so many tasks; its fires are spread as a registration would."""
        random = seeded(f"{self._seed}/{number}")
        mix, tenant_id = self._mix, f"tenant-{number:05}"
        groups = -(-size // mix.tasks_per_group)
        names = {name for need in mix.needs for name in need.task.get("mutex", ())}
        units = random.choices(mix.quotas, self._quota_weights)[0].per_task
        quota = {name: max(LEAST_UNITS, round(share * size)) for name, share in units.items()}
        limits = TenantLimits(
            max_concurrent=quota.pop("max_concurrent", None),
            resources=quota,
            mutex_groups={f"{name}-{n}": 1 for name in sorted(names) for n in range(groups)},
        )
        kinds = random.choices(range(len(mix.kinds)), self._kind_weights, k=size)
        needs = random.choices(range(len(mix.needs)), self._need_weights, k=size)
        tasks, load = [], 0
        for place, (kind, need) in enumerate(zip(kinds, needs, strict=True)):
            said = self._triggers(kind, random)
            template = self._templates.task(kind, need)
            task = template.model_copy(
                update={
                    "tenant_id": tenant_id,
                    "task_id": f"task-{place:06}",
                    "triggers": triggers_of(said),
                    "stagger": template.stagger if random.random() < mix.staggered else _NONE,
                    "mutex": [f"{name}-{random.randrange(groups)}" for name in template.mutex],
                    "expected_duration": self._lasts(mix.kinds[kind], random),
                }
            )
            tasks.append(task)
            load += self._load(said, task)
        return self._spread(tenant_id, limits, tasks, load)

    def _spread(self, tenant_id: str, limits: TenantLimits, tasks: list[Task], load: int) -> Drawn:
        """With room for each fire in its minute, if they could be too many at all."""
        most = self._policy.most_fires_of(tenant_id)
        if load <= most:
            return Drawn(tenant_id, limits, tasks, 0, 0)
        crowd = Crowd(most, self._day)
        spreads, full = crowd.place_all(dict(enumerate(tasks)), {})
        placed = [
            tasks[place].model_copy(update={"spread": spread}) if spread else tasks[place]
            for place, spread in sorted(spreads.items())
        ]
        return Drawn(tenant_id, limits, placed, sum(map(bool, spreads.values())), len(full))

    def _triggers(self, kind: int, random: Random) -> str:
        said = self._said[kind]
        return str(filled(said, random)) if self._ranges[kind] else said

    def _lasts(self, kind: Kind, random: Random) -> timedelta:
        return (kind.lasts or self._mix.lasts).draw(random)

    def _load(self, said: str, task: Task) -> int:
        """The most fires that a task with these triggers has in a minute."""
        if said not in self._loads:
            self._loads[said] = most_at_once(task, self._day)
        return self._loads[said]
