"""Task files: everything that is wrong with one, at once, each with its place."""

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.document import Document, parse_json, parse_yaml
from domain.policy import read_policy
from domain.problems import InvalidInput
from domain.registration import read_registration
from tests.conftest import POLICY_FILE
from tests.domain.registering import POLICY, TASK, file_of, only_problem, problems, read


def test_all_mistakes_of_a_file_come_at_once_in_its_order() -> None:
    """Tenants, tasks, triggers and nested blocks: one answer names them all, by path and line."""
    text = """\
    extra: 1
    tenants:
      - tenant_id: Acme
      - tenant_id: beta
        colour: red
    tasks:
      - tenant_id: acme
        task_id: ../admin
        plugin_id: builder
        colour: red
        triggers:
          - cron: 61 * * * *
          - {every: 15m, timezone: UTC}
          - {}
      - 17
      - tenant_id: acme
        task_id: report
        plugin_id: builder
        triggers: []
        retry:
          max_attempts: 0
          again: yes
        timeout:
    """
    assert [(p.where, p.line) for p in problems(dedent(text))] == [
        ("extra", 1),
        ("tenants[0].tenant_id", 3),
        ("tenants[1].colour", 5),
        ("tasks[0].task_id", 8),
        ("tasks[0].colour", 10),
        ("tasks[0].triggers[0].cron", 12),
        ("tasks[0].triggers[1].timezone", 13),
        ("tasks[0].triggers[2]", 14),
        ("tasks[1]", 15),
        ("tasks[2].triggers", 19),
        ("tasks[2].retry.max_attempts", 21),
        ("tasks[2].retry.again", 22),
        ("tasks[2].timeout", 23),
    ]


@pytest.mark.parametrize("text", ["[]", "tasks", "{}", "task: []", "12"])
def test_what_is_no_task_file_is_told_what_one_is(text: str) -> None:
    """A file of another shape gets one sentence and not a list of missing keys."""
    (problem,) = problems(text)
    assert "a task file is a mapping with the key `tasks`" in problem.message


@pytest.mark.parametrize("key", ["tasks", "tenants"])
@pytest.mark.parametrize("value", ["{}", "x", "3", "false"])
def test_tasks_and_tenants_are_lists(key: str, value: str) -> None:
    """Anything but a list is refused under its key, also what Python takes for empty."""
    assert [(p.where, p.message) for p in problems(f"{key}: {value}")] == [(key, "must be a list")]


@pytest.mark.parametrize(
    ("tenant", "where"),
    [
        ("{}", "tenants[0].tenant_id"),
        ("{tenant_id: acme, fairness_weight: 0}", "tenants[0].fairness_weight"),
        ("{tenant_id: acme, fairness_weight: '1'}", "tenants[0].fairness_weight"),
        ("{tenant_id: acme, quota: {max: 1}}", "tenants[0].quota.max"),
        ("{tenant_id: acme, quota: null}", "tenants[0].quota"),
        ("{tenant_id: acme, mutex_groups: {x: 0}}", "tenants[0].mutex_groups.x"),
        ("{tenant_id: acme, defaults: {task_id: x}}", "tenants[0].defaults.task_id"),
        ("{tenant_id: acme, defaults: {retry: {x: 1}}}", "tenants[0].defaults.retry.x"),
        ("{tenant_id: acme, defaults: null}", "tenants[0].defaults"),
        ("null", "tenants[0]"),
    ],
)
def test_mistakes_about_a_tenant_are_found_where_they_stand(tenant: str, where: str) -> None:
    """A tenant's mistake is told once, at the tenant, and not again for each of its tasks."""
    found = problems(file_of(TASK, tenants=f"  - {tenant}\n"))
    assert [p.where for p in found] == [where]


def test_a_task_and_a_tenant_stand_once() -> None:
    """The second of two equal ids is refused and points at the first; other tenants may share."""
    other = TASK.replace("acme", "beta")
    (problem,) = problems(file_of(TASK, other, TASK))
    assert problem.where == "tasks[2].task_id"
    assert "also tasks[0]" in problem.message
    (problem,) = problems(file_of(TASK, tenants="  - tenant_id: acme\n  - tenant_id: acme\n"))
    assert problem.where == "tenants[1].tenant_id"


def test_a_task_without_a_tenant_takes_the_callers() -> None:
    """The caller's tenant fills a gap and overrides nothing."""
    nameless = TASK.replace("tenant_id: acme\n", "")
    assert problems(file_of(nameless))[0].where == "tasks[0].tenant_id"
    tasks = read(file_of(nameless, TASK), tenant="beta").tasks
    assert [task.tenant_id for task in tasks] == ["beta", "acme"]


def test_a_tenants_least_interval_binds_its_tasks() -> None:
    """The limit of the policy holds for intervals and for cron, tenant by tenant."""
    text = POLICY_FILE.read_text().replace("tenants: {}", "tenants: {acme: {min_interval: 30m}}")
    policy = read_policy(parse_yaml(text))
    assert only_problem("", policy=policy).where == "tasks[0].triggers[0].every"
    for cron, fine in (("*/20 * * * *", False), ("59,0 1,2 * * *", False), ("0,30 * * * *", True)):
        file = file_of(TASK.replace("every: 15m", f"cron: '{cron}'"))
        if fine:
            assert len(read(file, policy).tasks) == 1
        else:
            assert "least interval" in problems(file, policy)[0].message
    assert len(read(file_of(TASK.replace("acme", "beta")), policy).tasks) == 1


def test_a_file_holds_only_so_many_tasks() -> None:
    """Too many tasks are refused at once, without checking each."""
    text = POLICY_FILE.read_text().replace("max_tasks_per_file: 20000", "max_tasks_per_file: 2")
    (problem,) = problems(file_of(*[TASK] * 3), read_policy(parse_yaml(text)))
    assert (problem.where, problem.message) == ("tasks", "3 tasks: a file holds 2 at most")


def test_json_is_read_as_yaml_is() -> None:
    """The same registration as JSON gives the same tasks, and the same problems without lines."""
    body = '{"tasks": [{"tenant_id": "acme", "task_id": "report", "plugin_id": "builder", '
    body += '"triggers": [{"every": "15m"}]%s}]}'
    as_json = read_registration(parse_json(body % ""), POLICY)
    assert as_json == read(file_of(TASK))
    with pytest.raises(InvalidInput) as refusal:
        read_registration(parse_json(body % ', "priority": 9'), POLICY)
    assert [p.as_json() for p in refusal.value.problems] == [
        {
            "path": "tasks[0].priority",
            "message": "input should be less than or equal to 5, and this is 9",
        }
    ]


_KEYS = st.sampled_from(
    [*"ab", "tenant_id", "task_id", "triggers", "retry", "cron", "every", "sla"]
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_ANYTHING, max_size=3), st.lists(_ANYTHING, max_size=3), _ANYTHING)
def test_no_shape_of_input_breaks_the_reader(
    tasks: list[Any], tenants: list[Any], whole: Any
) -> None:
    """Whatever the values are, the answer is a registration or a list of problems."""
    least = {"tenant_id": "acme", "task_id": "x", "plugin_id": "y", "triggers": [{"every": "1h"}]}
    merged = [least | task for task in tasks if isinstance(task, dict)]
    for data in (whole, {"tasks": tasks, "tenants": tenants}, {"tasks": merged}):
        try:
            registration = read_registration(Document(data), POLICY)
        except InvalidInput as refusal:
            messages = [str(problem) for problem in refusal.problems]
        else:
            messages = [task.task_id for task in registration.tasks] or ["nothing"]
        assert all(messages)
