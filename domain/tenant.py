"""What a task file says about a tenant."""

from typing import Annotated

from pydantic import Field, SerializeAsAny

from domain.layers import TaskDefaults
from domain.task import Count, Model, Name, Quota


class Tenant(Model):
    """A tenant: what its runs may hold, its share of the workers, what its tasks leave out."""

    tenant_id: Name
    quota: Quota = Quota()
    mutex_groups: dict[Name, Count] = Field(default_factory=dict)
    fairness_weight: Annotated[float, Field(strict=True, ge=0.001, le=1000)] = 1.0
    defaults: SerializeAsAny[TaskDefaults] = TaskDefaults()  # type: ignore[valid-type]
