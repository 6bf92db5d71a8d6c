"""What the pages show, and what is done by their forms."""

from html import unescape
from urllib.parse import quote

from structlog.typing import EventDict

from starter.api.console.render import CSP
from starter.callers import Scope
from tests.console.harness import FAILURE, MARKUP, Owner, Stack, Visitor, visitor
from tests.starter.harness import eventually_async


async def test_every_page_is_confined_to_itself_and_never_stored(
    ann: Owner, visits: Visitor
) -> None:
    """A strict policy without exceptions, and no style or script in the page itself."""
    await ann.register()
    run_id = await ann.ran()
    for path in (
        "",
        "/tasks",
        "/tasks/report",
        "/tasks/report/runs",
        "/work-orders",
        f"/runs/{run_id}",
    ):
        answer = await visits.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == CSP
        assert "unsafe" not in CSP
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert 'style="' not in visits.page
        assert "<style" not in visits.page
        assert "onclick" not in visits.page


async def test_the_overview_says_what_is_wrong_and_what_to_do(
    console: Stack, ann: Owner, visits: Visitor
) -> None:
    """What failed, who is paused, what comes: the first lines say so, with the remedy of each."""
    await ann.register(triggers=[{"every": "10m"}])
    await ann.register("other")
    await visits.get("/tasks/other")
    await visits.post("/tasks/other/pause")
    succeeded = await ann.ran()
    console.plugin.answer = FAILURE
    failed = await ann.ran(status="FAILED")
    await visits.get()
    assert "<h1" in visits.page
    assert "Healthy" not in visits.page.partition("</h1>")[0].partition("<h1")[2]
    said = unescape(visits.page)
    assert "1 of 2 that ended did not succeed" in said
    assert "look at the runs below: each says why" in said
    assert "1 of 2 are paused" in said
    assert "resume it when that is over" in said
    for looked_at in ("namespace", "search attributes", "workers", "watch", "plugins", "runs"):
        assert f"<dt>{looked_at}</dt>" in said
    assert f"/console/runs/{quote(failed)}" in said.partition('id="look"')[2]
    assert f"/console/runs/{quote(succeeded)}" in said.partition('id="look"')[0]
    assert ">report</a>" in said.partition('id="next"')[2]
    assert ">other</a>" not in said.partition('id="next"')[2]


async def test_a_tenant_without_tasks_is_told_how_to_begin(visits: Visitor) -> None:
    """Empty pages say what to do."""
    for path in ("", "/tasks"):
        await visits.get(path)
        assert "taskflow apply FILE" in visits.page
    await visits.get("/work-orders")
    assert "nothing to do" in visits.page


async def test_a_task_page_has_both_reasons_its_definition_and_the_way_to_temporal(
    ann: Owner, visits: Visitor
) -> None:
    """Times are in the task's zone and in UTC."""
    await ann.register(params={"scope": "all"})
    run_id = await ann.ran()
    await visits.get("/tasks/report")
    assert "02:00 +08:00 (18:00 UTC)" in visits.page
    assert "it ended SUCCESS" in visits.page
    assert "scope: all" in visits.page
    schedule = quote(f"task/{ann.tenant}/report", safe="")
    assert f"http://127.0.0.1:8233/namespaces/default/schedules/{schedule}" in visits.page
    await visits.get(f"/runs/{run_id}")
    assert f"/workflows/{quote(run_id, safe='')}/" in visits.page


async def test_the_list_of_tasks_is_filtered_and_has_pages(ann: Owner, visits: Visitor) -> None:
    """By plugin and state; a task that somebody names is opened."""
    for number in range(5):
        await ann.register(f"t-{number}", plugin_id=f"p{number % 2}")

    async def listed() -> bool:
        await visits.get("/tasks")
        return visits.page.count('<th scope="row">') == 5

    await eventually_async(listed, within=60)
    await visits.get("/tasks", limit=3)
    assert visits.page.count('<th scope="row">') == 3
    href = visits.page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    visits.page = (await visits.http.get(href)).text
    assert visits.page.count('<th scope="row">') == 2
    await visits.get("/tasks", plugin_id="p1", state="active")
    assert visits.page.count('<th scope="row">') == 2
    await visits.get("/tasks", state="paused")
    assert "No task matches" in visits.page
    found = await visits.get("/find", task_id=" t-4 ")
    assert found.headers["location"] == "/console/tasks/t-4"


async def test_a_task_is_paused_and_resumed_and_every_write_is_audited(
    ann: Owner, visits: Visitor, logs: list[EventDict]
) -> None:
    """By forms, each answered by a page that says once what was done."""
    await ann.register()
    await visits.get("/tasks/report")
    done = await visits.post("/tasks/report/pause", reason="until the fix")
    assert "Paused" in await visits.told(done)
    assert "until the fix" in visits.page
    assert (await ann.shown())["paused"]
    await visits.get("/tasks/report")
    assert 'class="done"' not in visits.page
    assert "Resumed" in await visits.told(await visits.post("/tasks/report/resume"))
    assert not (await ann.shown())["paused"]
    lines = [line for line in logs if line.get("action") == "audit" and "console" in line["route"]]
    assert [line["route"].rpartition("/")[2] for line in lines] == ["pause", "resume"]
    assert {(line["tenant_id"], line["status"]) for line in lines} == {(ann.tenant, 303)}
    assert all(line["who"] and line["before"] and line["client"] for line in lines)


async def test_a_form_that_is_sent_twice_starts_one_run(ann: Owner, visits: Visitor) -> None:
    """Its key makes it the same run; a page that was loaded anew has another."""
    await ann.register()
    where = []
    for _ in range(2):
        await visits.get("/tasks/report")
        once = visits.page.split('name="once" value="')[1].split('"')[0]
        for _ in range(2):
            payload = '{"day": 3}'
            sent = await visits.post("/tasks/report/trigger", once=once, payload=payload)
            assert "A run was started" in await visits.told(sent)
            where.append(sent.headers["location"])
    assert [where.index(path) for path in where] == [0, 0, 2, 2]


async def test_a_run_is_cancelled_and_one_that_has_ended_is_not(
    ann: Owner, visits: Visitor
) -> None:
    """The second time it is a conflict, with a page that says so."""
    await ann.register()
    ended = await ann.ran()
    await visits.get(f"/runs/{ended}")
    assert "/cancel" not in visits.page
    answer = await visits.post(f"/runs/{ended}/cancel")
    assert answer.status_code == 409
    assert "has ended already" in answer.text


async def test_a_work_order_is_taken_up_and_resolved(
    console: Stack, ann: Owner, visits: Visitor
) -> None:
    """With its evidence; what may not be done any more has no button, and is refused."""
    await ann.register(work_order="on_failure")
    console.plugin.answer = FAILURE
    run_id = await ann.ran(status="FAILED")

    async def opened() -> bool:
        await visits.get("/work-orders")
        return run_id.partition(f"{ann.tenant}/")[2] in visits.page

    await eventually_async(opened, within=60)
    path = f"/work-orders/{run_id}"
    await visits.get(path)
    assert "BROKEN" in visits.page
    assert "&lt;script&gt;" in visits.page
    assert MARKUP not in visits.page
    assert "yours now" in await visits.told(await visits.post(f"{path}/acknowledge"))
    silent = await visits.post(f"{path}/waive", reason=" ")
    assert silent.status_code == 422
    assert "must say something" in silent.text
    done = await visits.post(f"{path}/resolve", reason="sent by hand")
    assert "resolved" in await visits.told(done)
    assert "sent by hand" in visits.page
    assert "<button>It was put right" not in visits.page
    again = await visits.post(f"{path}/retry")
    assert again.status_code == 409
    assert "RESOLVED already" in again.text
    await visits.get(f"/runs/{run_id}")
    assert "RESOLVED" in visits.page


async def test_a_token_that_may_only_look_gets_no_buttons_and_no_writes(
    console: Stack, ann: Owner
) -> None:
    """The server refuses what no button leads to."""
    await ann.register()
    run_id = await ann.ran()
    reader = console.owner(ann.tenant, Scope.TASK_READ)
    async with visitor(console, reader) as visits:
        await visits.get("/tasks/report")
        assert 'class="acts"' not in visits.page
        assert "may only look" in visits.page
        for path in (
            "/tasks/report/pause",
            "/tasks/report/resume",
            "/tasks/report/trigger",
            f"/runs/{run_id}/cancel",
            *(f"/work-orders/{run_id}/{act}" for act in ("acknowledge", "retry", "waive")),
        ):
            answer = await visits.post(path, reason="x")
            assert answer.status_code == 403, path
            assert "task:operate" in answer.text
    assert not (await ann.shown())["paused"]


async def test_what_others_have_is_there_for_nobody_else(console: Stack, ann: Owner) -> None:
    """The same 404 as for what does not exist, for pages and for forms."""
    await ann.register()
    run_id = await ann.ran()
    bob = console.owner()
    async with visitor(console, bob) as visits:
        for about in ({}, {"tenant_id": ann.tenant}):
            for path in (
                "/tasks/report",
                "/tasks/report/runs",
                f"/runs/{run_id}",
                f"/work-orders/{run_id}",
            ):
                answer = await visits.get(path, **about)
                assert answer.status_code == 404, path
                assert "Asia/Shanghai" not in answer.text
        for path in ("/tasks/report/pause", "/tasks/report/trigger", f"/runs/{run_id}/cancel"):
            await visits.get()
            assert (await visits.post(path)).status_code == 404, path
            await visits.get()
            named = await visits.post(f"{path}?tenant_id={ann.tenant}")
            assert named.status_code == 404
        assert (await visits.get("/tenants")).status_code == 403
        await visits.get("/tasks")
        assert "report" not in visits.page
    assert not (await ann.shown())["paused"]


async def test_an_admin_chooses_a_tenant_and_its_links_keep_it(console: Stack, ann: Owner) -> None:
    """No cookie remembers it: two windows may be about two tenants."""
    await ann.register()
    token = console.door.caller(None)["Authorization"].removeprefix("Bearer ")
    async with visitor(console) as visits:
        await visits.sign_in(token)
        first = await visits.get()
        assert first.headers["location"] == "/console/tenants"
        await visits.get("/tenants")
        assert f"/console?tenant_id={ann.tenant}" in visits.page
        await visits.get("/tasks/report", tenant_id=ann.tenant)
        action = f"/tasks/report/pause?tenant_id={ann.tenant}"
        assert f'action="/console{action}"' in visits.page
        done = await visits.post(action)
        assert "Paused" in await visits.told(done)
        assert done.headers["location"].endswith(f"?tenant_id={ann.tenant}")
        nameless = await visits.post("/tasks/report/resume")
        assert nameless.status_code == 422
        assert "tenant_id" in nameless.text
    assert (await ann.shown())["paused"]


WRONG: list[tuple[str, dict[str, str], int, str]] = [
    ("/tasks/Nope!", {}, 404, "no task"),
    ("/nowhere", {}, 404, "nothing is served"),
    ("/static/../render.py", {}, 404, ""),
    ("/static/secret.txt", {}, 404, "no such file"),
    ("", {"hours": "99"}, 422, "hours"),
    ("/tasks", {"plugin_id": "no/name"}, 422, "plugin_id"),
    ("/tasks", {"cursor": "AAAA"}, 422, "begin without one"),
    ("/tasks/report/runs", {"status": "NEW"}, 422, "no state of a run"),
    ("/work-orders", {"status": "NEW"}, 422, "no state of a work order"),
    ("/tasks/report/pause", {}, 405, "method"),
]


async def test_errors_are_pages_that_say_what_to_do(visits: Visitor) -> None:
    """With the status of the error, the request's id, and a way back."""
    for path, query, status, said in WRONG:
        answer = await visits.get(path, **query)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert said in answer.text
        assert answer.headers["x-request-id"] in answer.text
        assert "The overview" in answer.text


async def test_bodies_are_measured_and_read_strictly(ann: Owner, visits: Visitor) -> None:
    """As those of the API."""
    await ann.register()
    await visits.get("/tasks/report")
    path = "/tasks/report/trigger"
    assert (await visits.post(path, payload="x" * 70_000)).status_code == 413
    assert (await visits.post(path, payload="{'no': json}")).status_code == 400
    assert (await visits.post("/tasks/report/pause", reason="a\x00b")).status_code == 422
    assert (await visits.post("/tasks/report/pause", reason="a" * 1001)).status_code == 422
    many = {f"f{number}": "" for number in range(30)}
    assert (await visits.post(path, **many)).status_code == 400
    headers = {"Origin": "http://127.0.0.1", "Content-Type": "text/plain"}
    answer = await visits.http.post(f"/console{path}", content=b"a=b", headers=headers)
    assert answer.status_code == 415
    assert not (await ann.shown())["paused"]
