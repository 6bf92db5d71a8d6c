"""The fields of a task: what each may say, and what is refused with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.checks import MAX_PARAMS_BYTES
from domain.problems import InvalidInput
from tests.conftest import task_of
from tests.domain.registering import TASK, file_of, only_problem, problems, read

_BAD_NAMES = [
    *("", "../admin", "a/b", "A", "Report", "-a", ".a", "_a", "a b", " a", "a\n", "a\0"),
    *("r\u00e9port", "\uff41", "\u0430dmin", "a\u200b", "x" * 65, "*", "%2e%2e"),
]


@pytest.mark.parametrize("field", ["tenant_id", "task_id", "plugin_id"])
@pytest.mark.parametrize("name", _BAD_NAMES)
def test_names_that_could_mislead_are_refused(field: str, name: str) -> None:
    """A name that is a path, looks like another one or ends in a newline is no name."""
    with pytest.raises(InvalidInput) as refusal:
        task_of(**{field: name})
    assert [p.where for p in refusal.value.problems] == [f"tasks[0].{field}"]
    assert "is not a name" in refusal.value.problems[0].message


@given(st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z"))
def test_every_name_by_the_rule_is_taken(name: str) -> None:
    """What the rule allows is allowed for all three ids."""
    task = task_of(tenant_id=name, task_id=name, plugin_id=name)
    assert {task.tenant_id, task.task_id, task.plugin_id} == {name}


def test_no_interval_at_all_is_refused_whatever_the_stagger() -> None:
    """A task that fires all the time has no times to keep the stagger from."""
    text = file_of(TASK.replace("15m", "0s") + "stagger: 5m\n")
    assert [p.where for p in problems(text)] == ["tasks[0].triggers[0].every"]


def test_a_task_has_so_many_blackouts() -> None:
    """Every fire is held against each of them."""
    windows = ["{cron: '0 22 * * *', duration: 8h}"] * 51
    assert "50 are the most" in only_problem(f"blackouts: [{', '.join(windows)}]").message
    read(file_of(TASK + f"blackouts: [{', '.join(windows[1:])}]\n"))


@pytest.mark.parametrize("value", ["12", "true", "null", "1.5", "[a]", "{a: b}"])
def test_ids_are_text(value: str) -> None:
    """A number is not a name, not even one that looks like it."""
    problem = problems(file_of(TASK.replace("report", value)))[0]
    assert (problem.where, "must be text" in problem.message) == ("tasks[0].task_id", True)


@pytest.mark.parametrize(
    ("trigger", "where", "message"),
    [
        ("{}", "", "exactly one of the keys cron, every, at, event"),
        ("{timezone: UTC}", "", "exactly one of the keys"),
        ("{cron: '* * * * *', every: 5m}", "", "exactly one of the keys"),
        ("{every: 5m, at: '2027-01-01T00:00:00Z'}", "", "exactly one of the keys"),
        ("hourly", "", "exactly one of the keys"),
        ("null", "", "exactly one of the keys"),
        ("[]", "", "exactly one of the keys"),
        ("{cron: null}", ".cron", "must be text"),
        ("{cron: '* * * *'}", ".cron", "5"),
        ("{cron: '0 0 30 2 *'}", ".cron", "never comes"),
        ("{cron: '* * * * *', zone: UTC}", ".zone", "is not a known key"),
        ("{cron: '* * * * *', timezone: Asia/Shangai}", ".timezone", "'Asia/Shanghai'"),
        ("{cron: '* * * * *', timezone: europe/berlin}", ".timezone", "'Europe/Berlin'"),
        ("{cron: '* * * * *', timezone: xyz}", ".timezone", "IANA"),
        ("{cron: '* * * * *', timezone: ../etc/passwd}", ".timezone", "IANA"),
        ("{cron: '* * * * *', timezone: null}", ".timezone", "must be text"),
        ("{cron: '* * * * *', timezone: localtime}", ".timezone", "not a time zone"),
        ("{every: 9s}", ".every", "least interval"),
        ("{every: 0s}", ".every", "least interval"),
        ("{every: 10500ms}", ".every", "whole seconds"),
        ("{every: 15}", ".every", "is not a duration"),
        ("{every: 15m, offset: 15m}", ".offset", "shorter than `every`"),
        ("{every: 15m, offset: 1ms}", ".offset", "whole seconds"),
        ("{every: 15m, offset: -1m}", ".offset", "is not a duration"),
        ("{every: 15m, offset: null}", ".offset", "is not a duration"),
        ("{at: 1700000000}", ".at", "is not a time"),
        ("{at: '1700000000'}", ".at", "is not a time"),
        ("{at: '1700000000.5'}", ".at", "is not a time"),
        ("{at: tomorrow}", ".at", "is not a time"),
        ("{at: 2027-02-30T00:00:00Z}", ".at", "is not a time"),
        ("{at: 2027-01-01T02:00:00}", ".at", "offset from UTC"),
        ("{at: 2027-01-01}", ".at", "offset from UTC"),
        ("{at: '2027-01-01T00:00:00.5Z'}", ".at", "whole second"),
        ("{at: '9999-12-31T23:59:59-14:00'}", ".at", "year"),
        ("{at: '0001-01-01T00:00:00+14:00'}", ".at", "year"),
        ("{event: ''}", ".event", "at least 1 character"),
        ('{event: "order\\ncreated"}', ".event", "control characters"),
        ("{event: a, filter: data.x >}", ".filter", "not valid CEL, column 9"),
        ("{event: a, filter: data.x + 1}", ".filter", "gives int"),
        ("{event: a, filter: 'data.x.exists(y, y in data.z)'}", ".filter", "costs too much"),
        ("{event: a, filter: ''}", ".filter", "at least 1 character"),
        ("{event: a, debounce: 500ms}", ".debounce", "must be from 1s to 24h"),
        ("{event: a, debounce: 0s}", ".debounce", "must be from 1s to 24h"),
        ("{event: a, debounce: 25h}", ".debounce", "must be from 1s to 24h"),
        ("{event: a, max_events_per_minute: 0}", ".max_events_per_minute", "greater than"),
        ("{event: a, max_events_per_minute: '5'}", ".max_events_per_minute", "whole number"),
        ("{event: a, timezone: UTC}", ".timezone", "is not a known key"),
    ],
)
def test_triggers_that_could_not_fire_are_refused(trigger: str, where: str, message: str) -> None:
    """Each kind of trigger is checked as far as it can be before it is due."""
    (problem,) = problems(file_of(TASK.replace("{every: 15m}", trigger)))
    assert problem.where == f"tasks[0].triggers[0]{where}"
    assert message in problem.message
    assert problem.line == 5


def test_cron_triggers_of_one_task_may_have_zones_of_their_own() -> None:
    """Each trigger keeps the clock that it was written for."""
    triggers = "{cron: 0 2 * * *, timezone: Asia/Tokyo}, {cron: 0 3 * * *}"
    assert len(read(file_of(TASK.replace("{every: 15m}", triggers))).tasks[0].triggers) == 2


@pytest.mark.parametrize(
    ("triggers", "stagger", "fits"),
    [
        ("{every: 15m}", "15m", True),
        ("{every: 15m}", "16m", False),
        ("{cron: 0 2 * * *}", "12h", True),
        ("{cron: '0,10 2 * * *'}", "11m", False),
        ("{every: 1h}, {cron: '20 * * * *'}", "20m", True),
        ("{every: 1h}, {cron: '20 * * * *'}", "21m", False),
    ],
)
def test_a_stagger_never_reaches_the_next_fire(triggers: str, stagger: str, fits: bool) -> None:
    """The window is at most the least time between two fires, of whichever trigger they are."""
    text = file_of(TASK.replace("{every: 15m}", triggers) + f"stagger: {stagger}\n")
    if fits:
        assert read(text).tasks[0].stagger
    else:
        (problem,) = problems(text)
        assert problem.where == "tasks[0].stagger"
        assert "apart" in problem.message


@pytest.mark.parametrize(
    ("lines", "where", "message"),
    [
        ("surprise: 1", "surprise", "is not a known key"),
        ("'a b': 1", "a b", "is not a known key"),
        ("retry: {again: 1}", "retry.again", "is not a known key"),
        ("retry: null", "retry", "must be a mapping"),
        ("retry: []", "retry", "must be a mapping"),
        ("retry: {max_attempts: 0}", "retry.max_attempts", "greater than or equal to 1"),
        ("retry: {max_attempts: 101}", "retry.max_attempts", "less than or equal to 100"),
        ("retry: {max_attempts: 2.0}", "retry.max_attempts", "whole number"),
        ("retry: {max_attempts: '2'}", "retry.max_attempts", "whole number"),
        ("retry: {max_attempts: true}", "retry.max_attempts", "whole number"),
        ("retry: {max_attempts: null}", "retry.max_attempts", "this is null"),
        ("retry: {backoff: 0.5}", "retry.backoff", "greater than or equal to 1"),
        ("retry: {backoff: '2'}", "retry.backoff", "number"),
        ("retry: {initial_interval: 10ms}", "retry.initial_interval", "at least 100ms"),
        ("retry: {max_interval: 1s}", "retry.max_interval", "shorter than `initial_interval`"),
        ("retry: {non_retryable: X}", "retry.non_retryable", "must be a list"),
        ("retry: {non_retryable: ['']}", "retry.non_retryable[0]", "at least 1 character"),
        ("timeout: null", "timeout", "null is not a duration"),
        ("timeout: 600", "timeout", "600 is not a duration"),
        ("timeout: 999ms", "timeout", "at least 1s"),
        ("timeout: 3661d", "timeout", "longer than ten years"),
        ("heartbeat_timeout: 0s", "heartbeat_timeout", "at least 1s"),
        ("timeout: 5s\nheartbeat_timeout: 6s", "heartbeat_timeout", "longer than `timeout`"),
        ("catchup: 9s", "catchup", "at least 10s"),
        ("priority: 0", "priority", "greater than or equal to 1"),
        ("priority: 6", "priority", "less than or equal to 5"),
        ("priority: high", "priority", "whole number"),
        ("priority: true", "priority", "this is true"),
        ("overlap: maybe", "overlap", "'skip'"),
        ("overlap: null", "overlap", "this is null"),
        ("description: null", "description", "must be text"),
        (f"description: {'x' * 401}", "description", "at most 400"),
        ("params: null", "params", "must be a mapping"),
        ("params: []", "params", "must be a mapping"),
        (f"params: {{a: {'x' * MAX_PARAMS_BYTES}}}", "params", f"limit is {MAX_PARAMS_BYTES}"),
        ("mutex: null", "mutex", "must be a list"),
        ("mutex: [A]", "mutex[0]", "is not a name"),
        ("resources: {GPU: 1}", "resources.GPU", "is not a name"),
        ("resources: {gpu: 0}", "resources.gpu", "greater than or equal to 1"),
        ("sla: {warn_at: 1}", "sla.warn_at", "less than 1"),
        ("sla: {surprise: 1}", "sla.surprise", "is not a known key"),
        ("compensation: {}", "compensation.plugin_id", "is required"),
        ("compensation: {plugin_id: ../x}", "compensation.plugin_id", "is not a name"),
        ("blackouts: [{cron: 0 0 * * *}]", "blackouts[0].duration", "is required"),
        ("work_order: always", "work_order", "'never'"),
        ("queue_timeout: 0s", "queue_timeout", "at least 1s"),
        ("expected_duration: 10ms", "expected_duration", "at least 1s"),
    ],
)
def test_impossible_values_are_refused(lines: str, where: str, message: str) -> None:
    """Unknown keys, null where nothing may be null, and values that no run could obey."""
    problem = only_problem(lines)
    assert problem.where == f"tasks[0].{where}"
    assert message in problem.message
    assert (problem.line or 0) >= 6


_LIMITED = "  - {tenant_id: acme, quota: {resources: {gpu: 2}}, mutex_groups: {warehouse: 1}}\n"


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("resources: {gpu: 3}", "resources.gpu", "3 can never be met: the tenant's quota is 2"),
        ("mutex: [warehouse, dock]", "mutex[1]", "'dock' is not a mutex group of the tenant"),
    ],
)
def test_what_a_task_can_never_get_is_refused(line: str, where: str, message: str) -> None:
    """A run that waits for ever is found when its task is registered, and what there is."""
    problem = only_problem(line, tenants=_LIMITED)
    assert (problem.where, problem.message[: len(message)]) == (f"tasks[0].{where}", message)


@pytest.mark.parametrize("line", ["resources: {gpu: 2, slots: 9}", "mutex: [warehouse]"])
def test_what_a_task_can_get_is_accepted(line: str) -> None:
    """A resource that the tenant does not limit is unlimited."""
    assert len(read(file_of(TASK + line + "\n", tenants=_LIMITED)).tasks) == 1


@pytest.mark.parametrize(
    "line",
    [
        *("jitter: 0s", "stagger: 0m", "blackouts: []", "resources: {}", "mutex: []"),
        *("expected_duration: null", "compensation: null", "sla: null", "work_order: never"),
        *("overlap: skip", "overlap: allow", "priority: 1", "params: {}", "description: ''"),
    ],
)
def test_values_that_ask_for_nothing_are_accepted(line: str) -> None:
    """Writing the default of a field out loud is never an error."""
    assert len(read(file_of(TASK + line + "\n")).tasks) == 1
    tenant = f"  - tenant_id: acme\n    defaults:\n      {line}\n"
    if not line.startswith(("params", "description")):
        assert len(read(file_of(TASK, tenants=tenant)).tasks) == 1


_EVENTS = "triggers: [{event: order.created}]"


@pytest.mark.parametrize("line", ["stagger: 5m", "jitter: 30s", "catchup: 10m"])
def test_what_moves_fires_of_a_clock_is_refused_where_there_is_none(line: str) -> None:
    """A task of events alone says nothing about clocks; beside a cron it may."""
    task = TASK.replace("triggers: [{every: 15m}]", _EVENTS)
    (problem,) = problems(file_of(f"{task}{line}\n"))
    assert problem.where == f"tasks[0].{line.partition(':')[0]}"
    assert "only has event triggers" in problem.message
    mixed = TASK.replace("}]", "}, {event: order.created}]")
    assert read(file_of(f"{mixed}{line}\n")).tasks


def test_a_rule_behind_one_that_takes_everything_is_refused() -> None:
    """It would never match; behind one with a filter it may stand."""
    rules = (
        "[{event: a, filter: data.x > 1}, {event: a}, {event: b}, {event: a, filter: data.x < 1}]"
    )
    (problem,) = problems(file_of(TASK.replace("[{every: 15m}]", rules)))
    assert (problem.where, "triggers[1] takes every event" in problem.message) == (
        "tasks[0].triggers[3].event",
        True,
    )


def test_a_rule_of_events_is_read_whole() -> None:
    """With what it waits for and how often it may run."""
    rule = "{event: a, filter: data.x > 1, debounce: 60s, max_events_per_minute: 100000}"
    [task] = read(file_of(TASK.replace("{every: 15m}", rule))).tasks
    assert task.model_dump(mode="json")["triggers"] == [
        {
            "event": "a",
            "filter": "data.x > 1",
            "debounce": "1m",
            "max_events_per_minute": 100_000,
        }
    ]
