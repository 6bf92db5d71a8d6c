"""Layering: defaults, the policy's tenant, the file's tenant, the task."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain.document import Document
from domain.layers import BLOCKS, TaskDefaults, TaskSpec, merge, said
from domain.policy import Policy, read_policy
from domain.registration import read_registration
from domain.task import Task, TaskPolicy
from tests.conftest import POLICY_FILE

_SHIPPED: dict[str, Any] = yaml.safe_load(POLICY_FILE.read_text())
_TASK = {
    "tenant_id": "acme",
    "task_id": "report",
    "plugin_id": "builder",
    "triggers": [{"every": "15m"}],
}
_VALUES: dict[str, list[Any]] = {
    "timeout": ["1m", "2m", "3m", "4m"],
    "heartbeat_timeout": ["1s", "2s", "3s", "4s"],
    "catchup": ["11s", "12s", "13s", "14s"],
    "priority": [1, 2, 4, 5],
    "overlap": ["skip", "allow", "skip", "allow"],
}
_RETRY_VALUES: dict[str, list[Any]] = {
    "max_attempts": [2, 3, 4, 5],
    "initial_interval": ["1s", "2s", "3s", "4s"],
    "backoff": [1.0, 1.5, 2.5, 3.0],
    "max_interval": ["1m", "2m", "3m", "4m"],
    "non_retryable": [["A"], ["B"], ["C"], []],
}


def _layered(default: Any, of_policy: Any, of_file: Any, of_task: Any) -> Task:
    shipped = deepcopy(_SHIPPED)
    shipped["defaults"] |= default | {"retry": shipped["defaults"]["retry"] | default["retry"]}
    shipped["tenants"] = {"acme": {"defaults": of_policy}}
    policy = read_policy(Document(shipped))
    file = {"tenants": [{"tenant_id": "acme", "defaults": of_file}], "tasks": [_TASK | of_task]}
    return read_registration(Document(file), policy).tasks[0]


@given(st.data())
def test_the_innermost_layer_that_speaks_wins_key_by_key(data: st.DataObject) -> None:
    """For every field and every key of `retry`, the task comes before the tenants and the defaults.

    Layer 0 is the default and says everything; the others say any part of it.
    """
    speakers = st.sets(st.sampled_from([1, 2, 3]))
    layers: list[dict[str, Any]] = [{"retry": {}} for _ in range(4)]
    expected: dict[str, Any] = {"retry": {}}
    for name, values in (_VALUES | _RETRY_VALUES).items():
        said_by = {0, *data.draw(speakers, label=name)}
        for layer in said_by:
            place = layers[layer]["retry"] if name in _RETRY_VALUES else layers[layer]
            place[name] = values[layer]
        place = expected["retry"] if name in _RETRY_VALUES else expected
        place[name] = values[max(said_by)]
    task = _layered(*layers).model_dump(mode="json")
    assert {name: task[name] for name in expected} == expected


def test_lists_and_mappings_are_taken_whole() -> None:
    """Only policy blocks merge: a list of an inner layer replaces that of an outer."""
    task = _layered({"retry": {"non_retryable": ["A", "B"]}}, {}, {}, {"retry": {}})
    assert task.retry.non_retryable == ["A", "B"]
    task = _layered({"retry": {}}, {}, {"retry": {"non_retryable": ["C"]}}, {})
    assert task.retry.non_retryable == ["C"]


_SLA_DEFAULTS: dict[str, Any] = _SHIPPED["sla_defaults"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([{}, {}], None),
        ([{"sla": None}, {}], None),
        ([{"sla": None}, {"sla": {}}], {}),
        ([{"sla": None}, {"sla": {"start_within": "2m"}}], {"start_within": "2m"}),
        ([{"sla": {"severity": "low"}}, {"sla": {"warn_at": 0.5}}], {"severity": "low"}),
        ([{"sla": {"severity": "low"}}, {"sla": None}], None),
        ([{"sla": {"severity": "low"}}, {"sla": None}, {"sla": {}}], {}),
    ],
)
def test_an_sla_takes_what_it_leaves_out_from_its_defaults(
    layers: list[dict[str, Any]], expected: dict[str, Any] | None
) -> None:
    """An SLA that any layer asks for is whole; null takes it away with all that was said of it."""
    merged = merge(*layers, sla_defaults=_SLA_DEFAULTS).get("sla")
    if expected is None:
        assert merged is None
    else:
        assert merged is not None
        assert merged.keys() == _SLA_DEFAULTS.keys()
        assert _SLA_DEFAULTS | merged | expected == merged


def test_merging_changes_no_layer() -> None:
    """Layers are shared between tasks: a merge leaves them as they were."""
    layers = [{"retry": {"backoff": 1.0}, "sla": {"warn_at": 0.5}}, {"retry": {"backoff": 2.0}}]
    before = deepcopy(layers)
    merge(*layers, sla_defaults=_SLA_DEFAULTS)
    assert layers == before


def test_partial_forms_have_the_fields_of_the_whole() -> None:
    """What a layer may say is what a task has; only a task's own ids and triggers are a must."""
    assert TaskSpec.model_fields.keys() == Task.model_fields.keys()
    assert TaskDefaults.model_fields.keys() == TaskPolicy.model_fields.keys()
    needed = {name for name, info in TaskSpec.model_fields.items() if info.is_required()}
    assert needed == {"tenant_id", "task_id", "plugin_id", "triggers"}
    assert not [name for name, info in TaskDefaults.model_fields.items() if info.is_required()]
    assert set(BLOCKS) <= TaskDefaults.model_fields.keys()


def test_a_layer_says_only_what_it_was_given() -> None:
    """An absent field is not said, and null is."""
    layer = TaskDefaults.model_validate({"sla": None, "retry": {"backoff": 2}})
    assert said(layer) == {"sla": None, "retry": {"backoff": 2.0}}


def test_the_shipped_policy_makes_a_task_whole(policy: Policy) -> None:
    """The least task becomes a whole one by the shipped defaults alone."""
    task = read_registration(Document({"tasks": [_TASK]}), policy).tasks[0]
    shipped = Task.model_validate(_SHIPPED["defaults"] | _TASK)
    assert task == shipped
