"""Registering tasks by HTTP, listing and showing them, and changing them on conditions."""

import asyncio
from typing import Any

import pytest
from structlog.typing import EventDict
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec

from domain.document import Document
from domain.ids import schedule_id
from domain.policy import Policy
from starter.api.examples import EXAMPLES
from starter.api.models import Doc, RegisteredTasks, RunList, TaskDocument, TaskList, WhyDocument
from starter.api.schemas import REGISTRATION, REGISTRATION_SCHEMA
from starter.callers import Scope
from starter.pages import _cursor
from starter.taskdoc import read_task_document
from tests.api.harness import Door
from tests.api.operator import TASK, Operator, fits
from tests.api.test_problems import problem
from tests.starter.harness import eventually_async


@pytest.fixture
def ann(api: Door, tenant: str) -> Operator:
    """May everything within the test's tenant."""
    return Operator.of(api, tenant)


def several(count: int, **said: Any) -> dict[str, Any]:
    """A body of so many tasks."""
    tasks = [TASK | {"task_id": f"t{number:02}"} | said for number in range(count)]
    return {"tasks": tasks}


async def test_a_task_is_created_then_the_same_then_another(ann: Operator) -> None:
    """201, 200 and 200; the answer says which, and the tag changes with the task alone."""
    created = await ann.register()
    same = await ann.register()
    updated = await ann.register(description="new")

    answers = (created, same, updated)
    for answer in answers:
        fits(RegisteredTasks, answer.json())
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    results = [answer.json()["tasks"][0]["result"] for answer in answers]
    assert results == ["created", "unchanged", "updated"]
    assert created.json()["tasks"][0]["task_id"] == "report"
    assert updated.json()["updated"][0]["changes"] == ['description: "" -> "new"']
    assert created.headers["location"] == "/internal/tasks/report"
    assert created.headers["etag"] == same.headers["etag"] != updated.headers["etag"]


async def test_one_answer_tells_of_several_tasks(ann: Operator) -> None:
    """Each with what was done to it, in the order of the body."""
    await ann.register(task_id="t01")
    body = several(3)
    body["tasks"][1] |= {"description": "new"}

    answer = await ann.call("POST", "/tasks/register", body)

    assert answer.status_code == 201
    told = [(task["task_id"], task["result"]) for task in answer.json()["tasks"]]
    assert told == [("t00", "created"), ("t01", "updated"), ("t02", "created")]
    assert "etag" not in answer.headers


async def test_all_that_is_wrong_is_told_at_once_and_nothing_is_done(ann: Operator) -> None:
    """With the paths as they stand in the body, of one task or of several."""
    wrong = {"triggers": [{"cron": "61 2 * * *"}], "retri": 3}
    alone = problem(await ann.register(**wrong), 422, "INVALID_INPUT")
    body = several(2)
    body["tasks"][1] |= wrong
    listed = await ann.call("POST", "/tasks/register", body)
    again = problem(listed, 422, "INVALID_INPUT")

    assert [error["path"] for error in alone["errors"]] == ["retri", "triggers[0].cron"]
    paths = [error["path"] for error in again["errors"]]
    assert paths == ["tasks[1].retri", "tasks[1].triggers[0].cron"]
    assert "did you mean 'retry'" in alone["errors"][0]["message"]
    assert (await ann.call("GET", "/tasks/t00")).status_code == 404


async def test_what_does_not_fit_the_tenant_is_refused_with_its_place(
    api: Door, ann: Operator, tenant: str
) -> None:
    """A quota that an admin declared binds what the tenant registers afterwards."""
    admin = Operator(api, tenant, api.caller(None))
    quota = {"tenants": [{"tenant_id": tenant, "quota": {"resources": {"gpu": 1}}}]}
    declared = await admin.call("POST", f"/tasks/register?tenant_id={tenant}", quota)
    answer = await ann.register(resources={"gpu": 2})

    assert declared.json()["tenants"][0]["changes"] == ["resource gpu: none -> 1"]
    [error] = problem(answer, 422, "INVALID_INPUT")["errors"]
    assert error["path"].startswith("resources")
    kept = await ann.register(resources={"gpu": 1})
    document = kept.json()
    assert (document["conflicts_before"], document["conflicts_after"]) == (None, None)
    assert "conflicts=true" in document["warnings"][0]


async def test_other_tenants_are_there_for_nobody(api: Door, ann: Operator, tenant: str) -> None:
    """404 for a task of theirs, by body, query or path; tenants are declared by admins alone."""
    bob = Operator.of(api, f"{tenant}-b")
    await bob.register()

    for body in (TASK | {"tenant_id": bob.tenant}, several(2, tenant_id=bob.tenant)):
        problem(await ann.call("POST", "/tasks/register", body), 404, "NOT_FOUND")
        problem(await ann.call("POST", "/tasks/dryrun", body), 404, "NOT_FOUND")
    for method, path in (
        *(("GET", "/tasks/report"), ("DELETE", "/tasks/report"), ("PUT", "/tasks/report/pause")),
        *(("POST", "/tasks/report/trigger"), ("GET", "/tasks/report/runs")),
        *(("GET", "/tasks/report/why"), ("GET", f"/runs/run/{bob.tenant}/report/manual/1")),
    ):
        problem(await ann.call(method, path), 404, "NOT_FOUND")
        named = f"{path}?tenant_id={bob.tenant}"
        problem(await ann.call(method, named), 404, "NOT_FOUND")
    declared = await ann.call("POST", "/tasks/register", {"tenants": []})
    problem(declared, 403, "FORBIDDEN")
    assert (await bob.call("GET", "/tasks/report")).json()["paused"] is False


async def test_each_route_asks_for_its_scope(api: Door, tenant: str) -> None:
    """Who may read may not write, and who may operate may not register."""
    reader = Operator.of(api, tenant, Scope.TASK_READ)
    for method, path in (
        *(("POST", "/tasks/register"), ("DELETE", "/tasks/report")),
        *(("PUT", "/tasks/report/pause"), ("PUT", "/tasks/report/resume")),
        *(("POST", "/tasks/report/trigger"), ("POST", "/runs/run/a/b/manual/1/cancel")),
    ):
        problem(await reader.call(method, path), 403, "FORBIDDEN")
    writer = Operator.of(api, tenant, Scope.TASK_WRITE)
    problem(await writer.call("GET", "/tasks"), 403, "FORBIDDEN")
    problem(await writer.call("PUT", "/tasks/report/pause"), 403, "FORBIDDEN")


async def test_lists_come_in_pages(ann: Operator) -> None:
    """Every task is on one page, whatever the limit; filters narrow the list."""
    await ann.call("POST", "/tasks/register", several(5))
    await ann.register(plugin_id="other")
    await ann.call("PUT", "/tasks/t03/pause", {})

    async def listed() -> bool:
        found = await ann.done("GET", "/tasks?paused=true", model=TaskList)
        everything = await ann.done("GET", "/tasks", model=TaskList)
        return len(found["tasks"]) == 1 and len(everything["tasks"]) == 6

    await eventually_async(listed)
    seen: list[str] = []
    path = "/tasks?limit=2&paused=false"
    while True:
        page = await ann.done("GET", path, model=TaskList)
        seen += [task["task_id"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        path = f"/tasks?limit=2&paused=false&cursor={page['next_cursor']}"
    on_other = await ann.done("GET", "/tasks?plugin_id=other", model=TaskList)

    assert sorted(seen) == ["report", "t00", "t01", "t02", "t04"]
    assert [task["task_id"] for task in on_other["tasks"]] == ["report"]


async def test_a_cursor_of_another_list_is_refused(ann: Operator, tenant: str) -> None:
    """It is bound to the tenant and the filters that it came with, and is no way to others."""
    foreign = _cursor("TenantId = 'somebody'", b"token")
    forged = _cursor(f"TenantId = '{tenant}' AND PluginId = 'x'", b"token")
    for cursor in ("x", "AAAA", foreign, forged):
        for path in ("/tasks", "/tasks/report/runs"):
            answer = await ann.call("GET", f"{path}?cursor={cursor}")
            [error] = problem(answer, 422, "INVALID_INPUT")["errors"]
            assert error["path"] == "cursor"


async def test_a_task_is_shown_with_a_tag_that_spares_reading_it_again(ann: Operator) -> None:
    """304 while its specification is as known; pausing it is no other specification."""
    etag = (await ann.register()).headers["etag"]

    shown = await ann.call("GET", "/tasks/report")
    known = await ann.call("GET", "/tasks/report", If_None_Match=f'"x", W/{etag}')
    await ann.call("PUT", "/tasks/report/pause", {"reason": "rest"})
    paused = await ann.call("GET", "/tasks/report", If_None_Match=etag)
    await ann.register(timeout="1m")
    changed = await ann.call("GET", "/tasks/report", If_None_Match=etag)

    fits(TaskDocument, shown.json())
    assert (shown.headers["etag"], shown.json()["etag"]) == (etag, etag.strip('"'))
    assert [answer.status_code for answer in (known, paused, changed)] == [304, 304, 200]
    assert (known.content, known.headers["etag"]) == (b"", etag)
    assert changed.json()["paused"] is True
    assert changed.json()["task"]["timeout"] == "1m"


async def test_a_pause_and_its_end_say_who_and_why(ann: Operator) -> None:
    """In the note that both doors show: the id of the token, and the reason that came with it."""
    await ann.register()
    who = ann.headers["Authorization"].split("_")[1]
    notes = []
    for act, reason in (("pause", "until the fix"), ("resume", "it is fixed")):
        await ann.call("PUT", f"/tasks/report/{act}", {"reason": reason})
        notes.append((await ann.call("GET", "/tasks/report")).json()["note"])

    assert notes[0].startswith(f"paused by {who} at ")
    assert notes[1].startswith(f"resumed by {who} at ")
    assert [note.rpartition(": ")[2] for note in notes] == ["until the fix", "it is fixed"]


async def test_changes_may_depend_on_what_the_caller_has_seen(ann: Operator) -> None:
    """If-Match on every change, and If-None-Match to create only: 412, and nothing is changed."""
    etag = (await ann.register()).headers["etag"]
    create, stale = {"If_None_Match": "*"}, {"If_Match": '"0123"'}
    refused = [
        await ann.call("POST", "/tasks/register", TASK | {"priority": 1}, **create),
        await ann.call("POST", "/tasks/register", TASK | {"priority": 1}, **stale),
        await ann.call("POST", "/tasks/register", TASK | {"task_id": "no"}, If_Match="*"),
        await ann.call("PUT", "/tasks/report/pause", {}, **stale),
        await ann.call("PUT", "/tasks/report/resume", {}, **stale),
        await ann.call("DELETE", "/tasks/report", **stale),
        # A weak tag says nothing of whether a change may be made.
        await ann.call("DELETE", "/tasks/report", If_Match=f"W/{etag}"),
    ]
    for answer in refused:
        problem(answer, 412, "PRECONDITION_FAILED")
    assert (await ann.call("GET", "/tasks/no")).status_code == 404
    unchanged = await ann.call("GET", "/tasks/report")
    assert (unchanged.headers["etag"], unchanged.json()["paused"]) == (etag, False)

    new = TASK | {"task_id": "new"}
    assert (await ann.call("POST", "/tasks/register", new, **create)).status_code == 201
    changed = await ann.call("POST", "/tasks/register", TASK | {"priority": 1}, If_Match=etag)
    assert changed.json()["tasks"][0]["result"] == "updated"
    now = changed.headers["etag"]
    assert (await ann.call("PUT", "/tasks/report/pause", If_Match=now)).status_code == 200
    assert (await ann.call("DELETE", "/tasks/report", If_Match=f'"x", {now}')).status_code == 200


async def test_of_two_changes_to_what_both_have_seen_one_is_made(ann: Operator) -> None:
    """However close they come: the other must read again."""
    etag = (await ann.register()).headers["etag"]

    answers = await asyncio.gather(
        *(
            ann.call("POST", "/tasks/register", TASK | {"priority": priority}, If_Match=etag)
            for priority in (1, 2, 4, 5)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_a_condition_that_cannot_be_read_or_is_about_several_tasks_is_wrong(
    ann: Operator,
) -> None:
    """It is refused, and not taken for one that holds."""
    unquoted = await ann.call("POST", "/tasks/register", TASK, If_Match="0123")
    both = await ann.call("POST", "/tasks/register", several(2), If_None_Match="*")

    assert problem(unquoted, 422, "INVALID_INPUT")["errors"][0]["path"] == "If-Match"
    problem(both, 422, "INVALID_INPUT")
    assert (await ann.call("GET", "/tasks/t00")).status_code == 404


async def test_runs_are_listed_in_pages_by_state_and_time(ann: Operator) -> None:
    """The runs of one task; a task without runs is an empty list, an unknown one is not."""
    await ann.register()
    empty = await ann.done("GET", "/tasks/report/runs", model=RunList)
    for _ in range(3):
        await ann.call("POST", "/tasks/report/trigger")

    async def listed() -> bool:
        found = await ann.done("GET", "/tasks/report/runs?status=PENDING&since=1h", model=RunList)
        return len(found["runs"]) == 3

    await eventually_async(listed)
    for filters in ("limit=2", "limit=2&since=1h", "limit=2&status=PENDING"):
        first = await ann.done("GET", f"/tasks/report/runs?{filters}", model=RunList)
        path = f"/tasks/report/runs?{filters}&cursor={first['next_cursor']}"
        second = await ann.done("GET", path, model=RunList)
        assert len({run["run_id"] for run in first["runs"] + second["runs"]}) == 3, filters
        other = await ann.call("GET", f"{path}&status=FAILED")
        problem(other, 422, "INVALID_INPUT")

    assert empty["runs"] == []
    none = await ann.done("GET", "/tasks/report/runs?status=FAILED", model=RunList)
    assert none["runs"] == []
    problem(await ann.call("GET", "/tasks/nowhere/runs"), 404, "NOT_FOUND")
    wrong = await ann.call("GET", "/tasks/report/runs?since=soon&status=GOOD")
    assert wrong.status_code == 422


async def test_parameters_that_are_wrong_are_named(ann: Operator) -> None:
    """Each by its name, before Temporal is asked anything."""
    for path, name in (
        *(("/tasks?limit=0", "limit"), ("/tasks?limit=1001", "limit")),
        *(("/tasks?paused=maybe", "paused"), ("/tasks?plugin_id=a'b", "plugin_id")),
        *(("/tasks/report/why?at=noon", "at"), ("/forecast?hours=169", "hours")),
        ("/tasks/report/why?at=0001-01-01T00:00:00Z", "at"),
        ("/tasks/report/why?at=9999-12-31T23:59:59Z", "at"),
        *(("/sla-report?since=x", "since"), ("/sla-report?since=1h&until=2h", "since")),
    ):
        [error] = problem(await ann.call("GET", path), 422, "INVALID_INPUT")["errors"]
        assert error["path"] == name, path
    for name in ("Nowhere", "a'b", "%0a", "x" * 65):
        problem(await ann.call("GET", f"/tasks/{name}"), 404, "NOT_FOUND")


async def test_why_needs_no_run(ann: Operator) -> None:
    """What no trigger makes is explained as well."""
    await ann.register()
    path = "/tasks/report/why?at=2026-01-01T00:00:30Z"
    assert (await ann.done("GET", path, model=WhyDocument))["verdict"] == "no_fire"


async def test_a_write_is_told_in_the_audit_with_its_tags(
    ann: Operator, logs: list[EventDict], tenant: str
) -> None:
    """Who did what to which task, and what it was before and is now."""
    before = (await ann.register()).headers["etag"].strip('"')
    after = (await ann.register(priority=1)).headers["etag"].strip('"')
    await ann.call("POST", "/tasks/register", several(2))
    await ann.call("DELETE", "/tasks/report")

    lines = [line for line in logs if line.get("action") == "audit"]
    told = [(line["before"], line["after"], line["ids"].get("result")) for line in lines]
    assert told[0] == (None, before, "created")
    assert told[1] == (before, after, "updated")
    assert lines[2]["ids"] == {"created": "2"}
    assert told[3][:2] == (after, None)
    assert {line["tenant_id"] for line in lines} == {tenant}


def test_examples_are_answers_and_bodies_that_there_are(policy: Policy) -> None:
    """What OpenAPI shows has every field that it promises, and could be sent."""
    for model, document in EXAMPLES.items():
        assert issubclass(model, Doc)
        fits(model, document)
    task = read_task_document(Document(REGISTRATION), policy, tenant="acme")
    assert task.alone
    assert "$ref" not in str(REGISTRATION_SCHEMA)
    assert REGISTRATION_SCHEMA["anyOf"][0]["required"] == ["task_id", "plugin_id", "triggers"]


async def test_a_schedule_that_taskflow_did_not_make_is_no_task_of_ours(
    temporal: Client, ann: Operator, tenant: str
) -> None:
    """It is refused as it stands, and registering makes a task of it."""
    action = ScheduleActionStartWorkflow("Other", id="other", task_queue="nobody-works-here")
    await temporal.create_schedule(schedule_id(tenant, "report"), Schedule(action, ScheduleSpec()))

    problem(await ann.call("GET", "/tasks/report"), 409, "REFUSED")
    answer = await ann.register()

    assert (answer.status_code, answer.json()["tasks"][0]["result"]) == (200, "updated")
