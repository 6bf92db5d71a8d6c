"""Signed calls: a plugin can tell that they are ours, whatever became of the secrets meanwhile."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from activities.call import signature
from activities.cancel import tell_to_stop
from activities.plugin import PluginActivities
from domain.problems import InvalidInput
from domain.task import Flags
from shared.plugin_secrets import PluginSecrets
from shared.webhooks import ID, BadSignature, Secret, request_id, verify
from tests.activities.conftest import RUN_ID, Caller, request_of
from tests.activities.server import RawServer, http

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
PARENT = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one secret."""
    path = tmp_path / "plugin-secrets"
    path.write_text(f"{OLD}\n")
    return path


@pytest.fixture
async def signing(caller: Caller, client: httpx.AsyncClient, file: Path) -> PluginSecrets:
    """The secrets that calls are signed with, as the file says them."""
    secrets = PluginSecrets(file)
    made = PluginActivities(client, caller.server.url, lambda _: Flags(), secrets=secrets)
    caller.execute = made.execute_plugin
    return secrets


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _verified(server: RawServer, *secrets: str) -> str:
    """The message id of the newest call, which one of the secrets must have signed."""
    sent = server.requests[-1]
    # The product writes JSON one way only, so what was read back is what was sent.
    compact = json.dumps(sent.body, ensure_ascii=False, separators=(",", ":"))
    body = compact.encode() if sent.body is not None else b""
    known = [Secret.parse(secret) for secret in secrets]
    return verify(known, sent.headers, body, now=datetime.now(UTC))


@pytest.mark.usefixtures("signing")
async def test_every_attempt_is_signed_anew(caller: Caller) -> None:
    """The id says which attempt of what it is; a delivery that comes again has the same."""
    ids = []
    for number in (1, 2, 2):
        caller.attempt(number)
        await caller.call(params={"city": "\u00fc"})
        ids.append(_verified(caller.server, OLD))
    assert ids == [request_id("execute", "builder", RUN_ID, str(n)) for n in (1, 2, 2)]
    with pytest.raises(BadSignature):
        _verified(caller.server, NEW)


async def test_secrets_are_exchanged_without_a_restart(
    caller: Caller, signing: PluginSecrets, file: Path
) -> None:
    """While two are in force both sign; a file that breaks leaves the last good ones."""
    _write(file, f"{NEW}\n{OLD}\n")
    await caller.call()
    assert _verified(caller.server, OLD) == _verified(caller.server, NEW)
    with capture_logs() as lines:
        _write(file, "whsec_short")
        await caller.call()
        _verified(caller.server, NEW)
    warned = signing.warning
    assert warned
    assert "whsec_short" not in f"{warned} {lines}"
    _write(file, NEW)
    await caller.call()
    assert signing.warning is None
    with pytest.raises(BadSignature):
        _verified(caller.server, OLD)


async def test_the_word_to_stop_is_signed_for_one_execution(
    server: RawServer, client: httpx.AsyncClient
) -> None:
    """It has no body: its id says what it is about, so that it stops nothing else."""
    server.stopped = http("202 Accepted")
    secrets = [Secret.parse(OLD)]
    for key in (RUN_ID, f"{RUN_ID}/compensation"):
        told = {"plugin_id": "builder", "key": key, "parent": PARENT}
        await tell_to_stop(client, server.url, **told, secrets=secrets)
        assert _verified(server, OLD) == request_id("cancel", "builder", key)


async def test_without_secrets_nothing_is_signed(caller: Caller) -> None:
    """Who has agreed on none gets the calls as before."""
    await caller.call()
    assert ID not in caller.server.requests[-1].headers


@pytest.mark.parametrize("text", ["", "no secret", "whsec_!!", None])
def test_a_worker_does_not_begin_with_a_secret_that_is_none(file: Path, text: str | None) -> None:
    """Calls that should be signed never go out unsigned."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(InvalidInput):
        PluginSecrets(file)


def test_a_signature_costs_next_to_nothing(file: Path) -> None:
    """Less than a tenth of a millisecond, with two secrets and the look at their file."""
    file.write_text(f"{NEW}\n{OLD}\n")
    secrets = PluginSecrets(file)
    body = request_of(params={"text": "x" * 2000}).model_dump_json().encode()
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _ in range(100):
            signature(secrets(), "execute", "builder", RUN_ID, "1", body=body)
        best = min(best, (time.thread_time() - began) / 100)
    assert best < 100e-6
