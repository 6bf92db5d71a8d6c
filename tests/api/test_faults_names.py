"""Ids of plugins that would lead a call elsewhere (fault row 29)."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from temporalio.testing import ActivityEnvironment

from activities.cancel import tell_to_stop
from activities.plugin import PluginActivities
from domain.document import parse_json, parse_yaml
from domain.ids import NAME
from domain.policy import Policy
from domain.problems import InvalidInput
from domain.task import Flags
from starter.callers import TENANT_SCOPES
from starter.taskdoc import read_task_document
from tests.activities.conftest import request_of
from tests.api.harness import Door, door
from tests.api.operator import TASK
from tests.api.test_problems import problem

MISLEADING = [
    *("../admin", "..", ".", "a/../../admin", "..\\admin", "%2e%2e%2fadmin", "..%2fadmin"),
    *("http://169.254.169.254", "//169.254.169.254", "169.254.169.254/", "builder@169.254.169.254"),
    *("builder:80", "builder?a", "builder#a", "builder;a", "builder\n", "a\r\nHost: evil", "a\x00"),
    *("r\u00e9port", "\uff41dmin", "\u0430dmin", "admin\u200b", "\u202eadmin", "", " ", "-a", "A"),
]
BASE = "http://runtime.example:8089/base"
FOLDER = "/base/plugin/runtime"


@pytest.fixture(scope="module")
async def away(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """An API without Temporal: what gets so far as to ask it is 503."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
        async with door(None, tmp_path_factory.mktemp("away"), temporal_timeout=1.0) as opened:
            yield opened


@pytest.mark.fault(29)
@pytest.mark.parametrize("plugin_id", MISLEADING)
async def test_the_door_refuses_it_wherever_it_is_named(away: Door, plugin_id: str) -> None:
    """In a task, in one of several, in a dry run and in a filter; before Temporal is asked."""
    own = away.caller("acme", *TENANT_SCOPES)
    task = TASK | {"plugin_id": plugin_id}
    for body, where in ((task, "plugin_id"), ({"tasks": [TASK, task]}, "tasks[1].plugin_id")):
        for route in ("register", "dryrun"):
            path = f"/internal/tasks/{route}"
            refused = await away.http.post(path, headers=own, json=body)
            status, code = (400, "UNREADABLE_BODY") if "\0" in plugin_id else (422, "INVALID_INPUT")
            assert problem(refused, status, code)["errors"][0]["path"] == where
    listed = await away.http.get(
        "/internal/tasks", headers=own, params={"plugin_id": plugin_id, "limit": 1}
    )
    assert problem(listed, 422, "INVALID_INPUT")["errors"][0]["path"] == "plugin_id"


@pytest.mark.fault(29)
@pytest.mark.parametrize("task_id", [name for name in MISLEADING if name not in ("", ".", "..")])
async def test_no_path_of_the_api_takes_it_for_a_task(away: Door, task_id: str) -> None:
    """It is there for nobody, however it is written, and Temporal is not asked."""
    own = away.caller("acme", *TENANT_SCOPES)
    for written in (quote(task_id, safe=""), quote(quote(task_id, safe=""), safe="")):
        answer = await away.http.get(f"/internal/tasks/{written}", headers=own)
        problem(answer, 404, "NOT_FOUND")


@pytest.mark.fault(29)
@pytest.mark.parametrize("plugin_id", MISLEADING)
def test_files_refuse_it(policy: Policy, plugin_id: str) -> None:
    """YAML and JSON alike."""
    task = TASK | {"tenant_id": "acme", "plugin_id": plugin_id}
    for parse in (parse_yaml, parse_json):
        with pytest.raises(InvalidInput) as refused:
            read_task_document(parse(json.dumps({"tasks": [task]})), policy)
        assert refused.value.problems[0].where == "tasks[0].plugin_id"


def _called(plugin_id: str) -> list[httpx.URL]:
    """Where a worker calls this plugin, and tells it to stop."""
    urls: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        return httpx.Response(200, json={"status": "SUCCESS"})

    async def both() -> None:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=30))
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            activities = PluginActivities(http, BASE, lambda _: Flags())
            await environment.run(activities.execute_plugin, request_of(plugin_id=plugin_id))
            await tell_to_stop(http, BASE, plugin_id=plugin_id, key="run/a/b", parent="")

    with capture_logs():
        asyncio.run(both())
    return urls


@pytest.mark.fault(29)
@settings(max_examples=40, deadline=None, derandomize=True)  # a loop and a client for each
@given(st.from_regex(rf"\A{NAME}\Z"))
@example("a..b")
@example("169.254.169.254")
@example("a.-_")
def test_a_name_that_is_taken_is_one_segment_of_the_url(plugin_id: str) -> None:
    """Whatever the rule allows, host and path are those of the plugin runtime."""
    execute, stop = _called(plugin_id)
    assert str(execute) == f"http://runtime.example:8089{FOLDER}/{plugin_id}/execute"
    assert str(stop) == f"http://runtime.example:8089{FOLDER}/{plugin_id}/executions/run%2Fa%2Fb"


@pytest.mark.fault(29)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.sampled_from(MISLEADING)))
@example("//evil.example/")
@example("@evil.example")
@example("\\\\evil.example\\")
@example("/../../../..//evil.example")
def test_the_host_never_changes(plugin_id: str) -> None:
    """Not even for an id that got past every door: the call goes there or is not made."""
    try:
        urls: list[Any] = _called(plugin_id)
    except httpx.InvalidURL:
        return
    assert {(url.scheme, url.host, url.port) for url in urls} == {("http", "runtime.example", 8089)}
