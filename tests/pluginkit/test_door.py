"""Who may call a plugin, with what, and what the others are told."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pluginkit import Plugin
from shared.webhooks import ID, SIGNATURE, TIMESTAMP, Secret, sign
from tests.pluginkit.conftest import Serve, Shop
from tests.pluginkit.harness import NEW, OLD, Caller, body_of, new_key, problem


async def test_a_signed_call_is_done(shared: Caller, shop: Shop) -> None:
    """The work sees what the scheduler said, and its result is the answer."""
    key = new_key()
    said = {"params": {"city": "\u00fc"}, "attempt": 3, "fence": 2003, "compensates": "run/a"}
    assert await shared.result(key, **said) == {"n": 1}
    (call,) = shop.calls
    assert (call.key, call.attempt, call.fence, call.compensates) == (key, 3, 2003, "run/a")
    assert (call.tenant_id, call.task_id, call.params) == ("acme", "report", {"city": "\u00fc"})
    assert call.trigger["kind"] == "manual"
    assert 25 < call.left <= 30


@pytest.mark.parametrize(
    "change",
    [
        {ID: ""},
        {SIGNATURE: ""},
        {SIGNATURE: "v1,AAAA"},
        {SIGNATURE: "\u00e9 v1"},
        {TIMESTAMP: "soon"},
        {TIMESTAMP: str(int((datetime.now(UTC) - timedelta(minutes=6)).timestamp()))},
        {ID: "msg_other"},
        {ID: "a.b"},
    ],
)
async def test_who_is_not_known_is_refused(
    shared: Caller, shop: Shop, change: dict[str, str]
) -> None:
    """Unsigned, forged or old: 401, whatever else is right about the call."""
    key = new_key()
    content = json.dumps(body_of(key)).encode()
    answer = await shared.post(content, key, **change)
    assert problem(answer) == (401, "BAD_SIGNATURE")
    assert not shop.calls


async def test_a_signature_is_for_one_body_plugin_and_execution(
    shared: Caller, shop: Shop, serve: Serve
) -> None:
    """What was overheard cannot be used for anything else."""
    shop.gate.clear()
    plugin = shop.plugin()
    plugin.action("other")(shop.work)
    async with serve(plugin) as caller:
        key, victim = new_key(), new_key()
        content = json.dumps(body_of(key)).encode()
        signed = sign(caller.secrets, "msg_1", content, now=datetime.now(UTC))
        changed = await caller.post(content + b" ", key, **signed)
        assert problem(changed) == (401, "BAD_SIGNATURE")
        elsewhere = await caller.post(content, key, plugin_id="other", **signed)
        assert problem(elsewhere) == (400, "OTHER_PLUGIN")
        renamed = await caller.post(content, victim, **signed)
        assert problem(renamed) == (400, "INVALID_HEADER")
        stopped = await caller.cancel(victim, about=key)
        assert problem(stopped) == (401, "BAD_SIGNATURE")
        assert not shop.calls
        shop.gate.set()


async def test_unsigned_calls_are_taken_only_by_who_said_so(serve: Serve, shop: Shop) -> None:
    """Nobody runs an open plugin by having forgotten something."""
    for options in ({"secret": None}, {"secret": OLD, "unsigned": True}):
        with pytest.raises(ValueError, match="unsigned=True"):
            Plugin(**options)
    async with serve(shop.plugin(secret=None, unsigned=True)) as caller:
        assert await replace(caller, secrets=()).result() == {"n": 1}


@pytest.mark.parametrize("secret", ["", "hello", "whsec_", "whsec_c2hvcnQ=", [OLD, "whsec_no"]])
def test_a_secret_that_is_none_is_refused(secret: str | list[str]) -> None:
    """At the start, and without being shown."""
    with pytest.raises(ValueError, match="the secret") as refusal:
        Plugin(secret=secret)
    assert "c2hvcnQ" not in str(refusal.value)


async def test_secrets_are_exchanged_without_a_break(
    serve: Serve, shop: Shop, tmp_path: Path
) -> None:
    """First both are taken, then only the new one; a file that breaks changes nothing."""
    file = tmp_path / "secrets"
    _write(file, OLD)
    async with serve(shop.plugin(secret=file)) as caller:
        new = replace(caller, secrets=[Secret.parse(NEW)])
        both = replace(caller, secrets=[Secret.parse(NEW), Secret.parse(OLD)])
        assert problem(await new.call()) == (401, "BAD_SIGNATURE")
        await both.result()
        _write(file, f"{NEW}\n{OLD}")
        await caller.result()
        await new.result()
        for broken in ("whsec_x", None):
            _write(file, broken)
            await new.result()
        _write(file, NEW)
        await both.result()
        assert problem(await caller.call()) == (401, "BAD_SIGNATURE")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"run_id": NaN}', 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b" " * (256 * 1024 + 1), 413),
    ],
)
async def test_what_is_no_call_is_refused(shared: Caller, body: bytes, status: int) -> None:
    """With a problem, never with a 500."""
    answer = await shared.post(body, new_key())
    assert problem(answer)[0] == status


@pytest.mark.parametrize(
    "fields",
    [
        {"attempt": 0},
        {"fence": -1},
        {"fence": 2**80},
        {"deadline": "soon"},
        {"deadline": "2026-11-23T02:00:00"},
        {"params": []},
        {"run_id": ""},
        {"heartbeat_timeout": 0},
    ],
)
async def test_a_field_that_is_wrong_is_named(shared: Caller, fields: dict[str, Any]) -> None:
    """The author of a scheduler reads what to change."""
    answer = await shared.call(**fields)
    assert problem(answer) == (400, "INVALID_EXECUTION")
    assert [error["path"] for error in answer.json()["errors"]] == list(fields)


async def test_a_number_that_is_none_is_refused(shared: Caller, shop: Shop) -> None:
    """Wherever it stands; a text that says so is a text."""
    for number in (float("nan"), float("-inf")):
        assert problem(await shared.call(params={"n": [number]})) == (400, "INVALID_EXECUTION")
    await shared.result(params={"n": "NaN, Infinity"})
    assert shop.calls[0].params == {"n": "NaN, Infinity"}


async def test_a_body_of_unknown_length_is_not_read_to_its_end(
    shared: Caller, http: httpx.AsyncClient
) -> None:
    """It is refused once it is too large."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 64 * 1024

    url = f"{shared.url}/plugin/runtime/builder/execute"
    try:
        answer = await http.post(url, content=endless())
    except httpx.TransportError:
        return  # the connection was closed before the refusal could be read
    assert problem(answer) == (413, "TOO_LARGE")


async def test_other_roads_lead_to_problems(shared: Caller) -> None:
    """Method, path, content type and plugin id."""
    http, url = shared.http, shared.url
    got = await http.get(f"{url}/plugin/runtime/builder/execute")
    assert problem(got) == (405, "METHOD_NOT_ALLOWED")
    assert got.headers["allow"] == "POST"
    assert problem(await http.get(f"{url}/nowhere")) == (404, "NOT_FOUND")
    assert problem(await shared.call(plugin_id="unknown")) == (404, "NO_SUCH_PLUGIN")
    for plugin_id in ("..%2Fbuilder", "Builder", "b%0a", "%C3%BC"):
        answer = await shared.call(plugin_id=plugin_id)
        assert problem(answer)[0] == 404
    key = new_key()
    content = json.dumps(body_of(key)).encode()
    assert problem(await shared.post(content, key, content_type="text/plain"))[0] == 415
    assert problem(await shared.post(content, key, traceparent="none"))[0] == 400
    assert problem(await shared.post(content, key, idempotency_key="other"))[0] == 400
    assert (await http.get(f"{url}/healthz")).json() == {"status": "ok"}


async def test_a_key_that_no_header_can_carry_is_understood(shared: Caller, shop: Shop) -> None:
    """It comes percent-encoded, in calls and in the path of the word to stop."""
    key = f"{new_key()}/\u00fc ?#%2F\n"
    await shared.result(key)
    assert shop.calls[0].key == key
    assert problem(await shared.cancel(key)) == (409, "ALREADY_FINISHED")


def test_actions_are_registered_with_care(shop: Shop) -> None:
    """What could not work is refused when the plugin is written, not when it is called."""
    plugin = shop.plugin()
    with pytest.raises(ValueError, match="has an action already"):
        plugin.action("builder")
    with pytest.raises(ValueError, match="the plugin id"):
        plugin.action("../admin")
    with pytest.raises(ValueError, match="scheduler_url"):
        plugin.action("slow", long=True)
    with pytest.raises(TypeError, match="async function"):
        plugin.action("sync")(lambda call: None)  # type: ignore[arg-type, return-value]  # it is the mistake
    with pytest.raises(ValueError, match="no http or https URL"):
        Plugin(secret=OLD, scheduler_url="taskflow:8080")


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
