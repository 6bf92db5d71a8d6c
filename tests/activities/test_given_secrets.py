"""Secrets in params: the plugin gets the values, and nobody else gets them back."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError

from activities.plugin import MAX_REQUEST_BYTES, PluginActivities
from domain.run import ExecuteResult
from domain.task import Flags
from shared.secrets import Vault
from tests.activities.conftest import Caller
from tests.activities.server import Answer, http, ok, raw

VALUE = "hunter22-\u00fc"
PARAMS = {"login": {"user": "me", "password": "secret://db"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the secrets of acme are: one."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/db").write_text(f"{VALUE}\n")
    return tmp_path


@pytest.fixture
async def secretive(caller: Caller, client: httpx.AsyncClient, folder: Path) -> Caller:
    """The activity with that folder."""
    flags = {"acme": Flags(), "globex": Flags()}
    made = PluginActivities(client, caller.server.url, flags.__getitem__, vault=Vault(folder, {}))
    caller.execute = made.execute_plugin
    return caller


def said(failure: ApplicationError) -> str:
    """All that Temporal would keep of a failure."""
    return f"{failure.type} {failure.message} {failure.details} {failure.__cause__!r}"


async def test_the_plugin_gets_the_values(secretive: Caller) -> None:
    """Those of the moment: a secret that was changed is new with the next attempt."""
    await secretive.call(ok({"status": "SUCCESS"}), params=PARAMS)
    await secretive.call(params={"none": "at all"})
    sent = [request.body["params"] for request in secretive.server.requests]
    assert sent == [{"login": {"user": "me", "password": VALUE}}, {"none": "at all"}]


async def test_a_result_that_echoes_a_secret_is_masked(secretive: Caller) -> None:
    """At any depth; what is beside it stays."""
    echo = {"got": {"password": VALUE}, "url": f"db://me:{VALUE}@host", "rows": 3}
    result: ExecuteResult = await secretive.call(
        ok({"status": "SUCCESS", "result": echo}), params=PARAMS
    )
    assert result.result == {
        "got": {"password": "[secret://db]"},
        "url": "db://me:[secret://db]@host",
        "rows": 3,
    }


def _failed(**fields: Any) -> Answer:
    return ok({"status": "FAILED", **fields})


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            _failed(error_code="LOGIN", message=f"no {VALUE}"),
            "LOGIN",
            "no [secret://db]",
        ),
        (
            _failed(error_code=VALUE, message="no"),
            "PLUGIN_FAILED",
            "[secret://db]: no",
        ),
        (
            _failed(message=json.dumps({"password": VALUE})),
            "PLUGIN_FAILED",
            '{"password": "[secret://db]"}',
        ),
        (ok({"status": VALUE}), "PLUGIN_BAD_ANSWER", "secret://db"),
        (ok({"status": "FAILED", "message": VALUE * 1000}), "PLUGIN_BAD_ANSWER", "message"),
        (
            http("200 OK", f'{{"{VALUE}x": 1, "{VALUE}x": 2}}'.encode()),
            "PLUGIN_BAD_ANSWER",
            "not valid JSON",
        ),
        (http(f"500 {VALUE}"), "PLUGIN_UNAVAILABLE", "500 Internal Server Error"),
        (raw(f"HTTP/1.1 {VALUE}\r\n\r\n".encode()), "PLUGIN_UNAVAILABLE", "RemoteProtocolError"),
    ],
    ids=["message", "code", "json", "status", "long", "twice", "phrase", "protocol"],
)
async def test_no_failure_gives_a_secret_away(
    secretive: Caller, answer: Answer, code: str, message: str
) -> None:
    """Whatever part of the answer repeats it, well-formed or not."""
    with capture_logs() as lines:
        failure = await secretive.failed(answer, params=PARAMS)
    assert failure.type == code
    assert message in failure.message
    assert "hunter22" not in said(failure) + str(lines)


async def test_a_secret_that_is_not_there_is_a_failed_attempt(
    secretive: Caller, folder: Path
) -> None:
    """Named, retryable because what is mounted may come late, and the plugin is not called."""
    (folder / "acme/db").rename(folder / "acme/other")
    failure = await secretive.failed(params=PARAMS)
    assert (failure.type, failure.non_retryable) == ("SECRET_NOT_FOUND", False)
    assert "secret://db is not there" in failure.message
    (folder / "acme/other").rename(folder / "acme/db")
    await secretive.call(ok({"status": "SUCCESS"}), params=PARAMS)
    assert len(secretive.server.requests) == 1


async def test_a_tenant_gets_its_own_secrets_only(secretive: Caller) -> None:
    """The same reference in a task of another tenant leads nowhere."""
    failure = await secretive.failed(params=PARAMS, tenant_id="globex")
    assert failure.type == "SECRET_NOT_FOUND"
    assert "globex/db" in failure.message
    assert not secretive.server.requests


async def test_the_values_count_for_the_size_of_a_call(secretive: Caller, folder: Path) -> None:
    """What would be too large is said by its size alone."""
    (folder / "acme/db").write_text("x" * 60_000)
    params = {str(number): "secret://db" for number in range(MAX_REQUEST_BYTES // 60_000 + 1)}
    failure = await secretive.failed(params=params)
    assert (failure.type, failure.non_retryable) == ("PARAMS_TOO_LARGE", True)
    assert "xxx" not in failure.message
    assert not secretive.server.requests


async def test_payloads_are_given_as_they_came(secretive: Caller) -> None:
    """Who may trigger a task may not read its tenant's secrets by that."""
    text = "secret://db"
    trigger = {"kind": "manual", "nominal_time": "2026-11-23T02:00:00Z", "payload": text}
    await secretive.call(
        ok({"status": "SUCCESS"}),
        params=PARAMS,
        trigger=trigger | {"trigger_time": "2026-11-23T02:00:00Z"},
    )
    assert secretive.server.requests[0].body["trigger"]["payload"] == text


async def test_what_is_no_code_is_told_as_a_message(secretive: Caller) -> None:
    """Codes are listed in clear text, so that sentences are kept elsewhere."""
    failure = await secretive.failed(_failed(error_code="the disk of osaka is full"))
    assert (failure.type, failure.message) == ("PLUGIN_FAILED", "the disk of osaka is full")
