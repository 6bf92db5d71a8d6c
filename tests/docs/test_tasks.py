"""The page about task files says what the models say: no field, default or bound goes stale."""

import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from domain.document import Document, parse_yaml
from domain.policy import (
    AdmissionPolicy,
    Limits,
    Policy,
    TenantPolicy,
    read_policy,
)
from domain.problems import InvalidInput
from domain.registration import read_registration
from domain.task import (
    Blackout,
    Compensation,
    CronTrigger,
    EventTrigger,
    Flags,
    IntervalTrigger,
    OneOffTrigger,
    Quota,
    Retry,
    Sla,
    Task,
    TaskIdentity,
    TaskPolicy,
)
from domain.tenant import Tenant
from shared.policy import load_policy
from shared.settings import ROOT
from tests.conftest import POLICY_FILE, task_of
from tests.docs.fields import POLICY, fields_of, left_out, says

PAGE = (ROOT / "docs/tasks.md").read_text()
MODELS: dict[type[BaseModel], dict[str, Any] | None] = {
    TaskIdentity: None,
    TaskPolicy: POLICY["defaults"],
    CronTrigger: None,
    IntervalTrigger: None,
    OneOffTrigger: None,
    EventTrigger: None,
    Retry: POLICY["defaults"]["retry"],
    Sla: POLICY["sla_defaults"],
    Compensation: None,
    Blackout: None,
    Tenant: None,
    Quota: None,
    Policy: None,
    Flags: None,
    Limits: POLICY["limits"],
    AdmissionPolicy: None,
    TenantPolicy: None,
}
"""And what the policy file says for fields that are left out."""


def _rows(model: type[BaseModel]) -> list[list[str]]:
    """The cells of a model's table."""
    [table] = re.findall(rf"<!-- fields: {model.__name__} -->\n((?:\|.*\n)+)", PAGE)
    return [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in table.splitlines()[2:]]


def test_every_model_has_its_table() -> None:
    """What a file may hold is on the page, wherever it stands in the file."""
    assert re.findall(r"<!-- fields: (\w+) -->", PAGE) == [model.__name__ for model in MODELS]
    assert set(Task.model_fields) == {*TaskIdentity.model_fields, *TaskPolicy.model_fields}


@pytest.mark.parametrize(
    ("model", "defaults"), MODELS.items(), ids=[model.__name__ for model in MODELS]
)
def test_fields_bounds_and_defaults_are_those_of_the_model(
    model: type[BaseModel], defaults: dict[str, Any] | None
) -> None:
    """All of them, in the order of the model."""
    expected = [
        [f"`{name}`", says(info), left_out(name, info, defaults)]
        for name, info in fields_of(model).items()
    ]
    rows = _rows(model)
    assert [row[:3] for row in rows] == expected
    assert all(row[4] for row in rows)


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _in_policy(*path: str, said: dict[str, Any]) -> None:
    for name in reversed(path):
        said = {name: said}
    shipped = yaml.safe_load(POLICY_FILE.read_text())
    read_policy(Document(_merged(shipped, said)))


def _tenant(said: dict[str, Any]) -> None:
    document = Document({"tenants": [{"tenant_id": "acme", **said}]})
    read_registration(document, load_policy(POLICY_FILE))


def _accept(model: type[BaseModel], said: dict[str, Any]) -> None:
    """Read a file that says this. Errors: `InvalidInput`."""
    if model in (TaskIdentity, TaskPolicy):
        task_of(**said)
    elif model in (CronTrigger, IntervalTrigger, OneOffTrigger, EventTrigger):
        least: dict[str, Any] = {
            CronTrigger: {"cron": "0 2 * * *"},
            IntervalTrigger: {"every": "1h"},
            OneOffTrigger: {"at": "2030-01-01T00:00:00Z"},
            EventTrigger: {"event": "order.created"},
        }.get(model, {})
        task_of(triggers=[{**least, **said}])
    elif model in (Retry, Sla):
        block: dict[str, Any] = {model.__name__.lower(): said}
        task_of(**block)
    elif model is Compensation:
        task_of(compensation={"plugin_id": "p", **said})
    elif model is Blackout:
        task_of(blackouts=[{"cron": "0 0 * * *", "duration": "1h", **said}])
    elif model is Tenant:
        _tenant(said)
    elif model is Quota:
        _tenant({"quota": said})
    elif model is TenantPolicy:
        _in_policy("tenants", "acme", said=said)
    else:
        place = {Flags: ["flags"], Limits: ["limits"], AdmissionPolicy: ["admission"]}
        _in_policy(*place.get(model, []), said=said)


@pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])
def test_every_example_is_accepted(model: type[BaseModel]) -> None:
    """Each says its own field, and a file may say so."""
    for row in _rows(model):
        said = yaml.safe_load(row[3].strip("`"))
        assert list(said) == [row[0].strip("`")]
        _accept(model, said)


def test_a_wrong_example_would_be_noticed() -> None:
    """The check itself works, for each model."""
    for model in MODELS:
        with pytest.raises(InvalidInput, match="is not a known key"):
            _accept(model, {"no_such_field": 1})


def test_the_file_on_the_page_is_right() -> None:
    """People copy it."""
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    registration = read_registration(parse_yaml(example), load_policy(POLICY_FILE))
    assert registration.tasks[0].task_id == "daily-report"
