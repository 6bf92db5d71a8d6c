"""Policy files: what they may say, and which flags hold."""

from copy import deepcopy
from itertools import product
from typing import Any

import pytest
import yaml

from domain.document import Document, parse_yaml
from domain.policy import Policy, read_policy
from domain.problems import InvalidInput, Problem
from tests.conftest import POLICY_FILE

_FLAGS = ("task-scheduler-v3", "task-sla-monitor", "task-retry-queue")


def _with(path: tuple[str, ...], value: Any) -> Document:
    data: dict[str, Any] = yaml.safe_load(POLICY_FILE.read_text())
    place = data
    for step in path[:-1]:
        place = place.setdefault(step, {})
    place[path[-1]] = value
    return Document(data)


def _problems(document: Document) -> list[Problem]:
    with pytest.raises(InvalidInput) as refusal:
        read_policy(document)
    return list(refusal.value.problems)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("flags", "task-scheduler-v4"), True),
        (("flags", "task-scheduler-v3"), "maybe"),
        (("limits", "min_interval"), 10),
        (("limits", "min_interval"), None),
        (("limits", "max_tasks_per_file"), 0),
        (("defaults", "timeout"), None),
        (("defaults", "retry"), {"max_attempts": 3}),
        (("defaults", "surprise"), 1),
        (("sla_defaults", "warn_at"), 1),
        (("tenants",), []),
        (("tenants", "Acme"), {}),
        (("tenants", "acme", "surprise"), 1),
        (("tenants", "acme", "defaults", "surprise"), 1),
        (("tenants", "acme", "defaults", "retry", "surprise"), 1),
        (("tenants", "acme", "min_interval"), "soon"),
    ],
)
def test_a_mistake_is_refused_at_its_place(path: tuple[str, ...], value: Any) -> None:
    """A wrong value or an unknown key anywhere in the file is named by its path."""
    assert ".".join(path) in [p.where[: len(".".join(path))] for p in _problems(_with(path, value))]


@pytest.mark.parametrize("name", ["task-scheduler-v4", "task_scheduler_v3", "TASK-SLA-MONITOR"])
def test_a_tenants_unknown_flag_is_refused_with_the_known_ones(name: str) -> None:
    """A misspelt flag is found when the file is read, and not when a run asks for it."""
    problem = _problems(_with(("tenants", "acme", "flags"), {name: False}))[0]
    assert problem.where == "tenants.acme.flags"
    assert all(flag in problem.message for flag in (name, *_FLAGS))


def test_problems_have_the_lines_of_the_file() -> None:
    """All mistakes come at once, in the order of the file."""
    text = POLICY_FILE.read_text().replace("priority: 3", "priority: 9").replace("2.0", "'2'")
    problems = _problems(parse_yaml(text))
    lines = text.splitlines()
    assert [p.where for p in problems] == ["defaults.priority", "defaults.retry.backoff"]
    assert ["priority" in lines[(p.line or 0) - 1] for p in problems] == [True, False]


@pytest.mark.parametrize(
    ("of_file", "of_tenant", "of_environment"),
    list(product([True, False], [True, False, None], [True, False, None])),
)
@pytest.mark.parametrize("flag", _FLAGS)
def test_flags_layer_file_tenant_environment(
    flag: str, *, of_file: bool, of_tenant: bool | None, of_environment: bool | None
) -> None:
    """The environment comes before the tenant, and the tenant before the rest of the file."""
    document = _with(("flags", flag), of_file)
    tenant = {} if of_tenant is None else {flag: of_tenant}
    document.data["tenants"] = {"acme": {"flags": tenant}}
    overrides = {} if of_environment is None else {flag: of_environment}
    policy = read_policy(document)
    said = [value for value in (of_environment, of_tenant, of_file) if value is not None]
    field = flag.replace("-", "_")
    assert getattr(policy.flags_of("acme", overrides), field) is said[0]
    elsewhere = of_file if of_environment is None else of_environment
    assert getattr(policy.flags_of("other", overrides), field) is elsewhere
    others = set(_FLAGS) - {flag}
    flags = policy.flags_of("acme", overrides).model_dump(by_alias=True)
    assert all(flags[name] is True for name in others)


def test_a_tenants_least_interval_comes_before_that_of_all(policy: Policy) -> None:
    """A limit of the tenant's own replaces the general one, for that tenant only."""
    changed = read_policy(_with(("tenants", "acme", "min_interval"), "1s"))
    assert changed.min_interval_of("acme").total_seconds() == 1
    assert changed.min_interval_of("other") == policy.limits.min_interval


def test_the_shipped_policy_leaves_all_flags_on(policy: Policy) -> None:
    """Out of the box everything the flags stand for happens, for every tenant."""
    flags = policy.flags_of("anyone", {}).model_dump(by_alias=True)
    assert flags == dict.fromkeys(_FLAGS, True)


def test_reading_changes_nothing_of_the_document() -> None:
    """A document may be read again: its values stay as they were."""
    document = _with(("tenants", "acme", "defaults"), {"retry": {"backoff": 3}})
    before = deepcopy(document.data)
    read_policy(document)
    assert document.data == before
