"""Task files and policies: refused with every problem, or read, and then they are what they say.

They are made by a grammar of right files, warped as values and spoiled as text.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain.compiled import compile_task
from domain.document import parse_json, parse_yaml
from domain.due import next_due, stagger_of
from domain.policy import Policy, read_policy
from domain.problems import InvalidInput
from domain.registration import Registration, read_registration
from domain.registry import pack_task, unpack_task
from domain.repair import CannotCompile
from domain.task import EventTrigger, Task
from shared.compiled import schedule_spec
from starter.taskdoc import read_task_document
from tests.conftest import POLICY_FILE
from tests.domain.registering import POLICY
from tests.domain.test_cron import cron_texts
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import spoiled, warped

_NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
_SECONDS = 5.0
"""Of the processor for one file; the slowest need a tenth of it."""

_NAMES = st.sampled_from(("acme", "beta", "daily-report", "a", "0", "x" * 64, "a.b_c-d", "report"))
_DURATIONS = st.sampled_from(
    ("0s", "1s", "100ms", "10s", "30s", "1m", "15m", "1h30m", "1d", "7d", "366d", "3660d", "1500ms")
)
_COUNTS = st.sampled_from((1, 2, 3, 5, 100, 1_000_000))
_ZONES = st.sampled_from(
    (
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "EST5EDT",
    )
)
_TIMES = st.sampled_from(
    (
        *("2027-01-01T02:00:00+08:00", "2028-02-29T23:59:59Z", "1970-01-01T00:00:00Z"),
        *("1970-01-01T00:00:00+14:00", "2199-12-31T23:59:59-12:00", "2027-03-28T02:30:00+01:00"),
        *("2100-12-31T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"),
    )
)
_FILTERS = st.sampled_from(
    ("true", "data.amount > 100", "data.tags.exists(t, t == 'a')", "type.matches('^a{1,9}$')", "1")
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(("secret://key", "secret://", "x secret://key")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_PARAMS = st.dictionaries(st.text(min_size=1, max_size=5), _JSON, max_size=3)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of these."""
    return st.fixed_dictionaries({}, optional=fields)


_TRIGGERS = st.one_of(
    st.fixed_dictionaries({"cron": cron_texts()}, optional={"timezone": _ZONES}),
    st.fixed_dictionaries({"every": _DURATIONS}, optional={"offset": _DURATIONS}),
    st.fixed_dictionaries({"at": _TIMES}),
    st.fixed_dictionaries(
        {"event": st.sampled_from(("order.created", "x"))},
        optional={
            "filter": _FILTERS,
            "debounce": _DURATIONS,
            "max_events_per_minute": _COUNTS,
        },
    ),
)
_RETRY = _some(
    max_attempts=st.integers(1, 100),
    initial_interval=_DURATIONS,
    backoff=st.floats(1, 100),
    max_interval=_DURATIONS,
    non_retryable=st.lists(st.text(min_size=1, max_size=5), max_size=2),
)
_SLA = _some(
    start_within=_DURATIONS,
    finish_within=_DURATIONS,
    warn_at=st.floats(0.01, 0.99),
    on_breach=st.sampled_from(("notify", "cancel")),
    severity=st.sampled_from(("low", "critical")),
    while_paused=st.sampled_from(("runs", "stops")),
)
_BLACKOUTS = st.fixed_dictionaries(
    {"cron": cron_texts(), "duration": _DURATIONS},
    optional={"timezone": _ZONES, "then": st.sampled_from(("skip", "defer"))},
)
_DEFAULTS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("jitter", "stagger", "timeout", "heartbeat_timeout"), _DURATIONS),
    **dict.fromkeys(("catchup", "queue_timeout"), _DURATIONS),
    "overlap": st.sampled_from(("skip", "queue", "allow", "cancel_running")),
    "priority": st.integers(1, 5),
    "resources": st.dictionaries(_NAMES, _COUNTS, max_size=2),
    "mutex": st.lists(_NAMES, max_size=2),
    "on_conflict": st.sampled_from(("queue", "skip", "fail", "warn")),
    "expected_duration": st.none() | _DURATIONS,
    "blackouts": st.lists(_BLACKOUTS, max_size=2),
    "retry": _RETRY,
    "compensation": st.none()
    | st.fixed_dictionaries({"plugin_id": _NAMES}, optional={"params": _PARAMS}),
    "sla": st.none() | _SLA,
    "work_order": st.sampled_from(("never", "on_failure", "on_breach", "both")),
}
_TASKS = st.fixed_dictionaries(
    {
        "tenant_id": _NAMES,
        "task_id": _NAMES,
        "plugin_id": _NAMES,
        "triggers": st.lists(_TRIGGERS, min_size=1, max_size=3),
    },
    optional={"description": st.text(max_size=9), "params": _PARAMS} | _DEFAULTS,
)
_TENANTS = st.fixed_dictionaries(
    {"tenant_id": _NAMES},
    optional={
        "quota": _some(max_concurrent=_COUNTS, resources=st.dictionaries(_NAMES, _COUNTS)),
        "mutex_groups": st.dictionaries(_NAMES, _COUNTS, max_size=2),
        "fairness_weight": st.floats(0.001, 1000),
        "defaults": _some(**_DEFAULTS),
    },
)
_FILES = st.fixed_dictionaries(
    {"tasks": st.lists(_TASKS, min_size=1, max_size=2)},
    optional={"tenants": st.lists(_TENANTS, max_size=2)},
)
_WORDS = (
    *("cron: ", "every: ", "at: ", "event: ", "timezone: ", "tasks:\n", "tenants:\n", "  - "),
    *('"60 * * * *"', "* * * * *", "30s", "Europe/berlin", "secret://", "null", "retry: {}", "1e9"),
)


_OF_CLOCKS = ("stagger", "jitter", "catchup")


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice twice: aliases are no part of task files."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _told(refusal: InvalidInput) -> None:
    """Whatever was wrong, there is something to say of it, and it can be said."""
    assert refusal.problems
    for problem in refusal.problems:
        assert problem.message
        assert len(problem.message) < 1000
        json.dumps(problem.as_json(), ensure_ascii=False).encode()


def _read(text: str, *, as_json: bool = False) -> Registration | None:
    with within(_SECONDS):
        try:
            document = parse_json(text) if as_json else parse_yaml(text)
            return read_task_document(document, POLICY, tenant="acme").registration
        except InvalidInput as refusal:
            _told(refusal)
            return None


def _is_what_it_says(task: Task) -> None:
    """Written down in any of our ways and read again it is the same task."""
    assert Task.model_validate_json(task.model_dump_json()) == task
    assert unpack_task(pack_task(task)) == task
    told = task.model_dump(mode="json")
    plain = {name: value for name, value in told.items() if value is not None}
    if task.heartbeat_timeout > task.timeout:  # one of the two was left to the policy
        plain["heartbeat_timeout"] = plain["timeout"]
        task = task.model_copy(update={"heartbeat_timeout": task.timeout})
    if all(isinstance(trigger, EventTrigger) for trigger in task.triggers):
        # What says nothing to such a task is refused when it is written, and comes from the policy.
        plain = {name: value for name, value in plain.items() if name not in _OF_CLOCKS}
        known = {name: getattr(POLICY.defaults, name) for name in _OF_CLOCKS}
        task = task.model_copy(update=known)
    tenant = {"tenant_id": task.tenant_id, "mutex_groups": dict.fromkeys(task.mutex, 1)}
    again = read_registration(parse_yaml(_yaml({"tasks": [plain], "tenants": [tenant]})), _WITHOUT)
    assert again.tasks == (task,)


def _goes_into_a_schedule(task: Task) -> None:
    """It has times, and is compiled for Temporal or refused as what cannot be said to it."""
    with within(2 * _SECONDS):
        times = next_due(task, 3, after=_NOW)
        assert all(at > _NOW for at in times)
        try:
            schedule_spec(compile_task(task, shift=stagger_of(task), now=_NOW))
        except CannotCompile as refusal:
            is_told(refusal)


_NOTHING: dict[str, Any] = {"sla": None, "compensation": None, "expected_duration": None}
_WITHOUT = Policy.model_validate(
    parse_yaml(POLICY_FILE.read_text()).data
    | {"defaults": POLICY.defaults.model_dump(mode="json") | _NOTHING}
)
"""The policy without the blocks that a task leaves out by null."""


@effort(36)
@given(file=warped(_FILES), as_json=st.booleans())
def test_a_file_is_refused_whole_or_each_task_can_be_scheduled(file: Any, *, as_json: bool) -> None:
    """Files that are right but for a value or two: no third outcome, and soon."""
    found = _read(json.dumps(file) if as_json else _yaml(file), as_json=as_json)
    for task in found.tasks if found else ():
        _is_what_it_says(task)
        _goes_into_a_schedule(task)


@effort(36)
@given(text=spoiled(_FILES.map(_yaml) | _FILES.map(json.dumps), _WORDS), as_json=st.booleans())
def test_spoiled_text_is_refused_or_read(text: str, *, as_json: bool) -> None:
    """Texts that were right before something was put in, taken out, or repeated at length."""
    found = _read(text, as_json=as_json)
    for task in found.tasks if found else ():
        _is_what_it_says(task)


@effort(24)
@given(file=_FILES)
def test_yaml_and_json_say_the_same(file: Any) -> None:
    """Whether a file is taken, and what it means, does not depend on how it is written."""
    by_yaml, by_json = _read(_yaml(file)), _read(json.dumps(file), as_json=True)
    assert by_yaml == by_json


_POLICY = parse_yaml(POLICY_FILE.read_text()).data


@effort(24)
@given(text=spoiled(warped(st.just(_POLICY)).map(_yaml), _WORDS))
def test_a_policy_is_refused_or_has_an_answer_for_every_tenant(text: str) -> None:
    """The shipped policy, spoiled: what is taken can be asked about any tenant."""
    with within(_SECONDS):
        try:
            policy = read_policy(parse_yaml(text))
        except InvalidInput as refusal:
            _told(refusal)
            return
    for tenant in ("acme", *policy.tenants):
        policy.defaults_of(tenant)
        policy.flags_of(tenant, {})
        assert policy.min_interval_of(tenant) >= policy.min_interval_of(tenant) * 0
        assert policy.most_fires_of(tenant) > 0
        assert policy.degraded_of(tenant) in ("fail_closed", "fail_open")
    json.dumps(policy.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize(
    "character", ["a", "\u00e9", " ", "\n", "-", "?", "[", '"', "&a ", "%TAG "]
)
def test_much_of_the_same_is_refused_soon(character: str) -> None:
    """A quarter of a megabyte of one character, inside of a file and instead of one."""
    for text in (character * 250_000, f"tasks:\n  - {character * 250_000}"):
        _read(text)
        _read(text, as_json=True)
