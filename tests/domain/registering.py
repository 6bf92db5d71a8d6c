"""What the tests of registrations share: a least task, files made of tasks, and their problems."""

from textwrap import dedent, indent
from typing import Any

import pytest

from domain.document import parse_yaml
from domain.policy import Policy, read_policy
from domain.problems import InvalidInput, Problem
from domain.registration import Registration, read_registration
from tests.conftest import POLICY_FILE

TASK = """\
tenant_id: acme
task_id: report
plugin_id: builder
triggers: [{every: 15m}]
"""
POLICY = read_policy(parse_yaml(POLICY_FILE.read_text()))


def read(text: str, policy: Policy = POLICY, **options: Any) -> Registration:
    return read_registration(parse_yaml(text), policy, **options)


def problems(text: str, policy: Policy = POLICY, **options: Any) -> list[Problem]:
    with pytest.raises(InvalidInput) as refusal:
        read(text, policy, **options)
    return list(refusal.value.problems)


def file_of(*tasks: str, tenants: str = "") -> str:
    items = "".join("  -" + indent(dedent(task), "    ")[3:] for task in tasks)
    return (f"tenants:\n{tenants}" if tenants else "") + f"tasks:\n{items}"


def only_problem(lines: str, *, tenants: str = "", policy: Policy = POLICY) -> Problem:
    (problem,) = problems(file_of(TASK + lines + "\n", tenants=tenants), policy)
    return problem
