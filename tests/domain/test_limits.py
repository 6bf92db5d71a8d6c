"""What a task asks for, what a tenant has, and what can never be met."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.limits import (
    Demand,
    TenantLimits,
    demand_of,
    impossible,
    is_governed,
    limit_of,
    limits_of,
    named,
)
from domain.task import Overlap, Quota
from domain.tenant import Tenant
from tests.conftest import task_of

_LIMITS = TenantLimits(max_concurrent=5, resources={"gpu": 2}, mutex_groups={"db": 3})


def test_a_task_asks_for_everything_at_once() -> None:
    """Its place, resources, mutex groups, each once, and its overlap rule, in a fixed order."""
    task = task_of("{resources: {gpu: 2, disk: 1}, mutex: [b, a, b], overlap: queue, priority: 2}")
    assert demand_of(task) == Demand(
        "daily-report",
        (
            ("concurrent", 1),
            ("resource:disk", 1),
            ("resource:gpu", 2),
            ("mutex:a", 1),
            ("mutex:b", 1),
            ("overlap:daily-report", 1),
        ),
        Overlap.QUEUE,
        2,
        "queue",
    )


@pytest.mark.parametrize(
    ("overlap", "manual", "asks"),
    [
        ("skip", False, Overlap.SKIP),
        ("skip", True, Overlap.ALLOW),
        ("queue", True, Overlap.QUEUE),
        ("cancel_running", True, Overlap.CANCEL_RUNNING),
    ],
)
def test_by_hand_only_skip_is_lifted(overlap: str, manual: bool, asks: Overlap) -> None:
    """A run by hand is not skipped for another; the other rules hold for it too."""
    assert demand_of(task_of(overlap=overlap), manual=manual).overlap is asks


@pytest.mark.parametrize(
    ("fields", "limited", "governed"),
    [
        ({"overlap": "skip"}, False, False),
        ({"overlap": "allow"}, False, False),
        ({"overlap": "skip"}, True, True),
        ({"overlap": "queue"}, False, True),
        ({"overlap": "cancel_running"}, False, True),
        ({"resources": {"gpu": 1}}, False, True),
        ({"mutex": ["db"]}, False, True),
    ],
)
def test_who_asks(fields: dict[str, Any], limited: bool, governed: bool) -> None:
    """A task that holds nothing asks nobody, unless its tenant counts every run."""
    assert is_governed(task_of(**({"overlap": "allow"} | fields)), limited=limited) is governed


@pytest.mark.parametrize(
    ("dimension", "limit", "name"),
    [
        ("concurrent", 5, "the tenant's max_concurrent"),
        ("resource:gpu", 2, "resource gpu"),
        ("resource:disk", None, "resource disk"),
        ("mutex:db", 3, "mutex group db"),
        ("mutex:other", 1, "mutex group other"),
        ("overlap:load", 1, "the task's own runs"),
    ],
)
def test_every_dimension_has_a_limit_and_a_name(
    dimension: str, limit: int | None, name: str
) -> None:
    """A resource that the tenant does not name is unlimited, a group has one place."""
    assert limit_of(_LIMITS, dimension) == limit
    assert named(dimension) == name


def test_what_can_never_be_met_names_the_limit() -> None:
    """Exactly the limit can be met; one more never."""
    demand = demand_of(task_of("resources: {gpu: 2}"))
    assert impossible(demand, _LIMITS) is None
    more = demand_of(task_of("resources: {gpu: 3}"))
    assert impossible(more, _LIMITS) == "resource gpu: 3 can never be met, the tenant has 2"
    assert impossible(more, TenantLimits()) is None


def test_limits_are_the_same_whenever_they_were_said() -> None:
    """Only what they say counts, not when."""
    later = _LIMITS.model_copy(update={"changed_at": datetime(2027, 1, 1, tzinfo=UTC)})
    assert later.same_as(_LIMITS)
    assert _LIMITS.same_as(later)
    assert not _LIMITS.same_as(None)
    assert not _LIMITS.same_as(TenantLimits(max_concurrent=5))


def test_a_tenant_declares_its_limits() -> None:
    """What a file says of a tenant is what its ledger is given."""
    tenant = Tenant(
        tenant_id="acme",
        quota=Quota(max_concurrent=5, resources={"gpu": 2}),
        mutex_groups={"db": 3},
    )
    assert limits_of(tenant) == _LIMITS
