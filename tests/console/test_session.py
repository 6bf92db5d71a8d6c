"""Who is let in, what the browser keeps of it, and which forms are taken."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from shared.errors import TemporalUnreachable
from starter.api.console import PREFIX
from starter.api.console.session import MOST_TOKEN, own_path
from starter.api.link import TemporalLink
from starter.callers import Scope
from starter.tokens import create_token
from tests.api.harness import HERE, door
from tests.console.harness import Owner, Stack, Visitor, visitor


async def test_who_is_not_signed_in_gets_the_form_and_comes_back(
    console: Stack, ann: Owner
) -> None:
    """In place of the page, with 401, and from there to where they wanted."""
    await ann.register()
    async with visitor(console) as visits:
        answer = await visits.get("/tasks/report")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert 'name="next" value="/console/tasks/report"' in visits.page
        signed = await visits.post("/sign-in", token=ann.token, next="/console/tasks/report")
        assert signed.headers["location"] == "/console/tasks/report"
        assert await visits.told(signed) == "Signed in."


async def test_who_follows_a_link_of_another_site_stays_signed_in(
    console: Stack, ann: Owner
) -> None:
    """Browsers keep the cookies back at first: the page goes on by itself, and sets no others."""
    async with visitor(console) as visits:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        answer = await visits.http.get("/console/tasks?state=paused", headers=elsewhere)
        assert 'content="0; url=/console/tasks?state=paused"' in answer.text
        assert "set-cookie" not in answer.headers
        assert (await visits.get("/tasks")).status_code == 401


@pytest.mark.parametrize(("base", "secure"), [(HERE, False), ("https://127.0.0.1", True)])
async def test_the_token_is_kept_where_no_script_and_no_other_site_gets_it(
    console: Stack, ann: Owner, base: str, secure: bool
) -> None:
    """HttpOnly, SameSite=Strict, below /console, and by https only Secure."""
    transport = httpx.ASGITransport(console.door.app)
    async with httpx.AsyncClient(transport=transport, base_url=base) as http:
        visits = Visitor(http, headers={"Origin": base})
        signed = await visits.sign_in(ann.token)
        cookies = signed.headers.get_list("set-cookie")
        assert {cookie.split("=")[0] for cookie in cookies} >= {
            "taskflow_token",
            "taskflow_session",
        }
        for cookie in cookies:
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert f"Path={PREFIX}" in cookie
            assert ("Secure" in cookie) is secure
        assert ann.token not in (await visits.get()).text


async def test_signing_out_forgets_the_token(ann: Owner, visits: Visitor) -> None:
    """Afterwards nobody is signed in, and the forms of before are worth nothing."""
    await ann.register()
    await visits.get("/tasks/report")
    before = visits.page
    assert "Signed out" in await visits.told(await visits.post("/sign-out"))
    assert (await visits.get()).status_code == 401
    visits.page = before
    assert (await visits.post("/tasks/report/pause")).status_code == 401


async def test_what_is_no_token_or_no_more_is_refused_with_a_reason(console: Stack) -> None:
    """And a token that a browser could not keep, before it is tried."""
    path = console.door.context.settings.tokens_file
    assert path is not None
    past = datetime.now(UTC) - timedelta(hours=2)
    _, expired = create_token(
        path, "acme", [Scope.TASK_READ], note="", now=past, lives=timedelta(hours=1)
    )
    async with visitor(console) as visits:
        for token, status, said in (
            ("", 401, "paste a token"),
            ("tsk_wrong", 401, "not known here"),
            (expired, 401, "the token is expired"),
            ("x" * (MOST_TOKEN + 1), 422, "longer than"),
        ):
            answer = await visits.sign_in(token)
            assert answer.status_code == status
            assert said in answer.text
            assert "taskflow_token" not in answer.headers.get("set-cookie", "")
        visits.http.cookies.set("taskflow_token", expired, path=PREFIX)
        answer = await visits.get()
        assert answer.status_code == 401
        assert "the token is expired" in answer.text


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:81"},
    {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": HERE, "Sec-Fetch-Site": "same-site"},
    {"Origin": HERE, "Sec-Fetch-Site": "none"},
    {},
]


async def test_forms_of_other_sites_are_refused(ann: Owner, visits: Visitor) -> None:
    """Even with the cookies and the token of the form."""
    await ann.register()
    await visits.get("/tasks/report")
    for headers in FOREIGN:
        visits.headers = headers
        for path in ("/tasks/report/pause", "/sign-out", "/sign-in"):
            answer = await visits.post(path, token=ann.token)
            assert answer.status_code == 403, headers
            assert "another site" in answer.text
    assert not (await ann.shown())["paused"]
    visits.headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}
    assert (await visits.post("/tasks/report/pause")).status_code == 303


async def test_a_form_is_worth_nothing_without_the_token_of_its_session(
    console: Stack, ann: Owner, visits: Visitor
) -> None:
    """None, one that is wrong, that of another session, and that of a planted session."""
    await ann.register()
    async with visitor(console, ann) as other:
        await other.get("/tasks/report")
        foreign = other.page
        planted = other.http.cookies["taskflow_session"]
    async with visitor(console) as nobody:
        nobody.http.cookies.set("taskflow_session", planted, path=PREFIX)
        await nobody.get("/sign-in")
        unsigned = nobody.page
    for page in ("", f'name="form_token" value="{"0" * 64}"', foreign, unsigned):
        visits.page = page
        answer = await visits.post("/tasks/report/pause")
        assert answer.status_code == 403
        assert "reload the page" in answer.text
    visits.http.cookies.set("taskflow_session", planted, domain="127.0.0.1", path=PREFIX)
    visits.page = unsigned  # the attacker's session, in which nobody is signed in
    assert (await visits.post("/tasks/report/pause")).status_code == 403
    assert not (await ann.shown())["paused"]


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("/console/tasks?state=paused", "/console/tasks?state=paused"),
        ("/console", "/console"),
        ("https://evil.example/console", PREFIX),
        ("//evil.example/console", PREFIX),
        ("/console\\@evil.example", PREFIX),
        ("/consoles", PREFIX),
        ("/internal/tasks", PREFIX),
        ("/console/a\r\nSet-Cookie: a=b", PREFIX),
        ("javascript:alert(1)", PREFIX),
    ],
)
def test_signing_in_leads_nowhere_else(path: str, goes: str) -> None:
    """Whatever the link says that somebody was sent."""
    assert own_path(path) == goes


async def test_nobody_is_asked_where_the_api_asks_nobody(temporal: Client, tmp_path: Path) -> None:
    """On this machine alone, and still no page of another site gets a form in."""
    async with door(temporal, tmp_path, authenticated=False, tenant="home") as opened:
        visits = Visitor(opened.http)
        answer = await visits.get("/sign-in")
        assert answer.headers["location"] == PREFIX
        await visits.get("/tasks")
        assert "anonymous" in visits.page
        assert "Sign out" not in visits.page
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            foreign = await opened.http.get("/console/tasks", headers=headers)
            assert foreign.status_code == 403
            assert foreign.headers["content-type"] == "text/html; charset=utf-8"
        visits.headers = {"Origin": HERE, "Sec-Fetch-Site": "cross-site"}
        assert (await visits.post("/tasks/any/pause")).status_code == 403


async def _broken() -> None:
    raise RuntimeError("a secret")


async def test_temporal_that_is_down_and_other_troubles_are_pages_too(
    console: Stack, tmp_path: Path
) -> None:
    """503 and 429 say when to come again, and what to look at; 500 says where the log has it."""

    async def gone(_: float) -> Client:
        raise TemporalUnreachable("Temporal does not answer at 127.0.0.1:1")

    async with door(console.client, tmp_path, api_requests_per_minute=3) as opened:
        opened.context.temporal = TemporalLink(1.0, gone)
        token = opened.caller("acme", Scope.TASK_READ)["Authorization"].removeprefix("Bearer ")
        visits = Visitor(opened.http)
        await visits.sign_in(token)
        for path in ("", "/tasks"):
            answer = await visits.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "does not answer" in answer.text
            assert "taskflow doctor" in answer.text
        opened.app.add_api_route("/console/broken", _broken)
        answer = await visits.get("/broken")
        assert answer.status_code == 500
        assert answer.headers["x-request-id"] in answer.text
        assert "secret" not in answer.text
        answer = await visits.get()
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert "Wait so long" in answer.text
