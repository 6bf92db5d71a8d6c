"""The word to stop: how it is said to a plugin, and which answers are none."""

from dataclasses import replace
from urllib.parse import unquote

import httpx
import pytest
from temporalio.exceptions import ApplicationError

from activities.cancel import tell_to_stop
from tests.activities.conftest import RUN_ID, Caller
from tests.activities.server import Answer, RawServer, http, reset, silence

PARENT = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


async def _tell(server: RawServer, client: httpx.AsyncClient, key: str = RUN_ID) -> int:
    return await tell_to_stop(client, f"{server.url}/", plugin_id="builder", key=key, parent=PARENT)


@pytest.mark.parametrize(
    "key", [RUN_ID, f"{RUN_ID}/compensation", "run/acme/a/manual/../\u00fc ?#%2F\n"]
)
async def test_the_key_is_one_segment_of_the_path(
    server: RawServer, client: httpx.AsyncClient, key: str
) -> None:
    """Whatever is in it, it leads nowhere else, and can be read back."""
    await _tell(server, client, key)
    (sent,) = server.requests
    method, path, _ = sent.line.split(" ")
    *folder, last = path.split("/")
    assert (method, "/".join(folder)) == ("DELETE", "/plugin/runtime/builder/executions")
    assert unquote(last) == key
    assert unquote(sent.headers["idempotency-key"]) == key
    assert sent.headers["traceparent"] == PARENT
    assert sent.body is None


@pytest.mark.parametrize("status", [200, 202, 204, 404, 405, 409, 410])
async def test_these_answers_need_no_second_word(
    server: RawServer, client: httpx.AsyncClient, status: int
) -> None:
    """It stops, or there is nothing to stop."""
    server.stopped = http(f"{status} Whatever")
    assert await _tell(server, client) == status


@pytest.mark.parametrize(
    "answer",
    [
        *(http(f"{status} Whatever") for status in (302, 400, 401, 429, 500, 503)),
        reset(),
        silence(60, http("200 OK")),
    ],
)
async def test_these_answers_are_no_word_at_all(
    server: RawServer, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """It may be told again."""
    monkeypatch.setattr("activities.cancel.CANCEL_SECONDS", 0.3)
    server.stopped = answer
    with pytest.raises(ApplicationError) as failure:
        await _tell(server, client)
    assert (failure.value.type, failure.value.non_retryable) == ("PLUGIN_NOT_TOLD", False)


async def test_a_key_that_no_header_can_carry_is_encoded_in_calls_too(caller: Caller) -> None:
    """A run started by hand may have any key; the body has it as it is."""
    key = "run/acme/report/manual/\u00fc 1"
    caller.environment.info = replace(caller.environment.info, workflow_id=key)
    await caller.call(attempt=1)
    (sent,) = caller.server.requests
    assert sent.body["run_id"] == key
    assert unquote(sent.headers["idempotency-key"]) == key
