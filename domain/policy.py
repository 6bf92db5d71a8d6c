"""The policy file: default values, limits and feature flags, for all and per tenant."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, SerializeAsAny, ValidationError

from domain.document import Document
from domain.duration import Duration
from domain.governor import Degraded
from domain.layers import TaskDefaults, said
from domain.problems import InvalidInput, problems_of
from domain.task import Flags, Model, Name, Sla, TaskPolicy


class AdmissionPolicy(Model):
    """What becomes of runs while their governor or the capacity service does not answer."""

    when_unavailable: Degraded = "fail_closed"


class Limits(Model):
    """What a registration may ask for."""

    min_interval: Duration
    max_tasks_per_file: Annotated[int, Field(ge=1)]
    max_fires_per_minute: Annotated[int, Field(ge=1)] = 600


def _known_flags(flags: dict[str, bool]) -> dict[str, bool]:
    known = {info.alias for info in Flags.model_fields.values() if info.alias}
    if unknown := sorted(flags.keys() - known):
        raise ValueError(f"{unknown[0]!r} is not a flag: the flags are {', '.join(sorted(known))}")
    return flags


class TenantPolicy(Model):
    """Where one tenant differs from the rest of the policy file."""

    flags: Annotated[dict[str, bool], AfterValidator(_known_flags)] = Field(default_factory=dict)
    defaults: SerializeAsAny[TaskDefaults] = TaskDefaults()  # type: ignore[valid-type]
    min_interval: Duration | None = None
    max_fires_per_minute: Annotated[int, Field(ge=1)] | None = None
    admission: AdmissionPolicy | None = None


class Policy(Model):
    """A whole policy file."""

    flags: Flags
    limits: Limits
    admission: AdmissionPolicy = AdmissionPolicy()
    defaults: TaskPolicy
    sla_defaults: Sla
    tenants: dict[Name, TenantPolicy] = Field(default_factory=dict)

    def defaults_of(self, tenant_id: str) -> dict[str, Any]:
        """What the file says for the tenant's tasks beyond the defaults for all."""
        tenant = self.tenants.get(tenant_id)
        return said(tenant.defaults) if tenant else {}

    def min_interval_of(self, tenant_id: str) -> Any:
        """The least time between two fires of one of the tenant's tasks."""
        tenant = self.tenants.get(tenant_id)
        own = tenant.min_interval if tenant else None
        return own if own is not None else self.limits.min_interval

    def most_fires_of(self, tenant_id: str) -> int:
        """How many fires of the tenant may share a minute."""
        tenant = self.tenants.get(tenant_id)
        own = tenant.max_fires_per_minute if tenant else None
        return self.limits.max_fires_per_minute if own is None else own

    def degraded_of(self, tenant_id: str) -> Degraded:
        """What the tenant's runs do while nobody can decide whether they may go."""
        tenant = self.tenants.get(tenant_id)
        own = tenant.admission if tenant else None
        return (own or self.admission).when_unavailable

    def flags_of(self, tenant_id: str, overrides: dict[str, bool]) -> Flags:
        """The flags that hold for a tenant; the environment's overrides come before everything."""
        tenant = self.tenants.get(tenant_id)
        return Flags.model_validate(
            {
                **self.flags.model_dump(by_alias=True),
                **(tenant.flags if tenant else {}),
                **overrides,
            }
        )


def read_policy(document: Document) -> Policy:
    """The policy a document holds. Errors: `InvalidInput` with every problem."""
    try:
        policy = Policy.model_validate(document.data)
    except ValidationError as error:
        raise InvalidInput(document.placed(problems_of(error))) from error
    return policy
