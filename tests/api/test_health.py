"""What those who look after the process are told: health, readiness, counters, the description."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from starter.api import health
from starter.tokens import create_token, revoke_token
from tests.api.harness import Door, door
from tests.api.test_problems import EVENTS, problem


async def test_a_process_that_can_serve_is_ready(api: Door) -> None:
    """And it says what it looked at."""
    api.caller("acme")
    await api.context.rules.refresh_now()
    assert (await api.http.get("/healthz")).json() == {"status": "ok"}
    document = (await api.http.get("/readyz")).json()
    assert document["status"] == "ready"
    assert {check["name"]: check["ok"] for check in document["checks"]}.items() >= {
        ("temporal", True),
        ("authentication", True),
        ("event rules", True),
    }


async def test_nobody_could_come_in(temporal: Client, tmp_path: Path) -> None:
    """Without any token the process is not ready, and says what to do; a token mends it."""
    async with door(temporal, tmp_path) as api:
        await api.context.rules.refresh_now()
        document = problem(await api.http.get("/readyz"), 503, "NOT_READY")
        (said,) = (c for c in document["checks"] if not c["ok"])
        assert said["name"] == "authentication"
        assert "taskflow tokens create" in said["detail"]
        api.caller("acme")
        assert (await api.http.get("/readyz")).status_code == 200


async def test_tokens_that_have_ended_let_nobody_in(temporal: Client, tmp_path: Path) -> None:
    """A file of revoked and expired ones is as good as none; one that lets in mends it."""
    async with door(temporal, tmp_path) as api:
        path = api.context.settings.tokens_file
        assert path
        now, hour = datetime.now(UTC), timedelta(hours=1)
        await api.context.rules.refresh_now()
        create_token(path, "acme", ["task:read"], lives=hour, note="", now=now - 2 * hour)
        token, _ = create_token(path, "acme", ["task:read"], lives=hour, note="", now=now)
        assert (await api.http.get("/readyz")).status_code == 200
        revoke_token(path, token.id, now=now)
        document = problem(await api.http.get("/readyz"), 503, "NOT_READY")
        [said] = [check["detail"] for check in document["checks"] if not check["ok"]]
        assert said == "every token has ended: `taskflow tokens create` makes one"


async def test_a_look_that_hangs_is_not_waited_for(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An issuer that says nothing is what is missing."""
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.1)

    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    async with door(temporal, tmp_path) as api:
        await api.context.rules.refresh_now()
        monkeypatch.setattr(type(api.context.authenticator), "problem", lambda _: hangs())
        document = problem(await api.http.get("/readyz"), 503, "NOT_READY")
    assert document["detail"] == "missing: authentication"


async def test_requests_are_counted_by_the_template_of_their_route(
    temporal: Client, tmp_path: Path
) -> None:
    """What callers choose, paths and methods, makes no new series."""
    async with door(temporal, tmp_path) as api:
        for path in ("/healthz", "/a", "/b", "/internal/tasks%00"):
            await api.http.get(path)
        await api.http.request("BREW", EVENTS)
        await api.http.post(EVENTS)
        answer = await api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    counted = re.findall(r"^task_api_requests_total\{(.*)\} (\S+)$", answer.text, re.MULTILINE)
    found = {re.sub(r"\w+=|\"", "", labels): float(number) for labels, number in counted}
    assert found == {
        "GET,/healthz,200": 1,
        "GET,unmatched,404": 3,
        f"other,{EVENTS},405": 1,
        f"POST,{EVENTS},401": 1,
    }
    assert 'task_api_request_seconds_bucket{le="1.0",method="POST"' in answer.text


async def test_every_route_is_described(api: Door) -> None:
    """Tags, an operation id, a summary, problems; a token where one is needed, and what it does."""
    document = (await api.http.get("/openapi.json")).json()
    assert set(document["components"]["schemas"]) >= {"ProblemDocument", "ProblemError"}
    tags = {tag["name"] for tag in document["tags"]}
    seen: set[str] = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert set(operation["tags"]) <= tags, where
            assert operation["operationId"] not in seen, where
            seen.add(operation["operationId"])
            assert operation["summary"], where
            open_to_all = operation["tags"] == ["health"]
            assert ("security" in operation) is not open_to_all, where
            _check_answers(operation["responses"], where, open_to_all=open_to_all)


def _check_answers(answers: dict[str, Any], where: str, *, open_to_all: bool) -> None:
    least = {"403", "500"} if open_to_all else {"401", "403", "429", "500", "503"}
    assert answers.keys() >= least, where
    for status, answer in answers.items():
        if status >= "400":
            (content,) = answer["content"].items()
            schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
            assert content == ("application/problem+json", schema), (where, status)
