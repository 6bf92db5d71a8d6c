"""Work that a plugin accepts and reports, to a scheduler on a real socket."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.__main__ import main
from sandbox.client import Delivery, SandboxClient, SandboxError
from sandbox.replay import replay
from shared.webhooks import Secret
from tests.pluginkit.harness import NEW, OLD, Caller, body_of, new_key, problem, served
from tests.sandbox.harness import Sandbox, running
from tests.sandbox.scheduler import Scheduler

STRANGE = "whsec_" + "c3Ry" * 8


@dataclass(frozen=True, slots=True)
class Pair:
    """A sandbox with a secret, and the scheduler that it reports to."""

    sandbox: Sandbox
    scheduler: Scheduler
    control: SandboxClient
    caller: Caller

    async def accepted(self, script: str, **fields: Any) -> str:
        """The key of a call that was answered 202 by a plugin with this script."""
        key = new_key()
        await self.control.configure("builder", script=[script], result={"rows": 3})
        assert (await self.caller.call(key, **fields)).status_code == 202
        return key

    async def ended(self, key: str) -> Delivery:
        """The only delivery of a key, once it is over."""
        async with asyncio.timeout(10):
            while True:
                [delivery] = await self.control.deliveries(key=key)
                if delivery.ended_at is not None:
                    return delivery
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two secrets, as while they are exchanged: the tests' calls are signed with the second."""
    path = tmp_path_factory.mktemp("secret") / "secret"
    path.write_text(f"{NEW}\n{OLD}\n")
    return path


@pytest.fixture(scope="module")
async def pair(secret_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """One for all tests here; they keep apart by key."""
    scheduler = Scheduler()
    log = tmp_path_factory.mktemp("sandbox") / "log.jsonl"
    async with served(scheduler.app) as url:
        with running(log, "--scheduler-url", url, "--secret-file", str(secret_file)) as sandbox:
            async with sandbox.clients() as (control, http):
                yield Pair(sandbox, scheduler, control, Caller(http, sandbox.url))
            code, said = sandbox.stop()
            assert code == 0
            assert said.count("\n") == said.count("it answered 503") == 1, said


async def test_accepted_work_reports_how_far_it_is_and_then_its_result(pair: Pair) -> None:
    """A 202 at once, a report each second, the effect on disk, SUCCESS; asked again, a 200."""
    started = time.monotonic()
    key = await pair.accepted("accept:1.25")
    assert time.monotonic() - started < 1
    [under_way] = await pair.control.deliveries(key=key)
    assert (under_way.outcome, under_way.effect) == (None, None)
    end = await pair.scheduler.end_of(key)
    assert time.monotonic() - started >= 1.25
    reports = pair.scheduler.of(key)
    assert [(r["status"], r.get("progress")) for r in reports] == [
        ("RUNNING", {"done": 0.0}),
        ("RUNNING", {"done": 0.8}),
        ("SUCCESS", None),
    ]
    assert {(r["attempt"], r["nonce"]) for r in reports} == {(1, "n-1")}
    sequences = [r["sequence"] for r in reports]
    assert sequences == sorted(set(sequences))
    assert end["result"] == {"rows": 3}
    line = next(line for line in reversed(pair.sandbox.lines()) if line.get("key") == key)
    assert (line["outcome"], line["result"]) == ("accept:1.25", {"rows": 3})
    assert await pair.caller.result(key, attempt=2) == {"rows": 3}
    first, second = await pair.control.deliveries(key=key)
    assert first.effect == second.effect is not None
    assert second.outcome == "ok"


async def test_work_may_report_its_end_alone(pair: Pair) -> None:
    """Nothing is told on the way, and it can still be cancelled."""
    await pair.control.configure("quiet", script=["accept:1.25"], reports="end")
    key, other = new_key(), new_key()
    for each in (key, other):
        assert (await pair.caller.call(each, plugin_id="quiet")).status_code == 202
    assert (await pair.caller.cancel(other, plugin_id="quiet")).status_code == 202
    assert (await pair.scheduler.end_of(other))["error_code"] == "CANCELLED"
    await pair.scheduler.end_of(key)
    assert [report["status"] for report in pair.scheduler.of(key)] == ["SUCCESS"]
    assert [report["status"] for report in pair.scheduler.of(other)] == ["FAILED"]
    assert (await pair.ended(other)).effect is None


async def test_a_cancellation_ends_accepted_work(pair: Pair) -> None:
    """It stops before its time, reports that it was cancelled, and never has an effect."""
    key = await pair.accepted("accept:60")
    assert (await pair.caller.cancel(key)).status_code == 202
    end = await pair.scheduler.end_of(key)
    assert (end["status"], end["error_code"], end["retryable"]) == ("FAILED", "CANCELLED", False)
    delivery = await pair.ended(key)
    assert (delivery.outcome, delivery.effect, delivery.cancelled) == ("cancelled", None, True)
    assert await pair.caller.failure(key, attempt=2) == ("CANCELLED", False)


async def test_done_work_is_not_cancelled(pair: Pair) -> None:
    """After its effect a cancellation is a 409, and changes nothing."""
    key = await pair.accepted("accept:0")
    assert (await pair.scheduler.end_of(key))["status"] == "SUCCESS"
    assert problem(await pair.caller.cancel(key)) == (409, "ALREADY_FINISHED")
    assert (await pair.ended(key)).cancelled is False


async def test_work_ends_when_a_report_is_answered_that_nobody_wants_it(pair: Pair) -> None:
    """As by a cancellation, though no request for one came; the log knows it after a restart."""
    key = new_key()
    pair.scheduler.unwanted.add(key)
    await pair.control.configure("builder", script=["accept:60"])
    await pair.caller.call(key)
    assert (await pair.scheduler.end_of(key))["error_code"] == "CANCELLED"
    assert (await pair.ended(key)).outcome == "cancelled"
    assert await pair.caller.failure(key, attempt=2) == ("CANCELLED", False)
    assert key not in {c.key for c in await pair.control.cancellations()}
    assert replay(pair.sandbox.log.read_bytes().splitlines()).memory(key).cancelled


async def test_a_plugin_that_cannot_cancel_goes_on_though_nobody_wants_it(pair: Pair) -> None:
    """The knob holds for the answers to reports too: the work comes to its effect."""
    key = new_key()
    pair.scheduler.unwanted.add(key)
    await pair.control.configure("stubborn", script=["accept:0.6"], cancel="unsupported")
    await pair.caller.call(key, plugin_id="stubborn")
    assert (await pair.scheduler.end_of(key))["status"] == "SUCCESS"
    assert len(pair.scheduler.of(key)) > 1
    assert (await pair.ended(key)).effect is not None


async def test_work_ends_at_its_deadline(pair: Pair) -> None:
    """No effect comes after it, and the report says that the attempt may be tried again."""
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    key = await pair.accepted("accept:60", deadline=soon.isoformat())
    end = await pair.scheduler.end_of(key)
    assert (end["error_code"], end["retryable"]) == ("DEADLINE_EXCEEDED", True)
    delivery = await pair.ended(key)
    assert (delivery.outcome, delivery.effect) == ("late", None)


async def test_an_attempt_that_the_scheduler_has_given_up_ends_in_silence(pair: Pair) -> None:
    """A report that is answered 409 is the last; the next attempt begins the work anew."""
    key = new_key()
    pair.scheduler.over.add(key)
    await pair.control.configure("builder", script=["accept:60", "accept:0.1"])
    await pair.caller.call(key)
    assert (await pair.ended(key)).outcome == "stale"
    pair.scheduler.over.discard(key)
    await pair.caller.call(key, attempt=2, fence=2, nonce="n-2")
    assert (await pair.scheduler.end_of(key))["status"] == "SUCCESS"
    assert {report["nonce"] for report in pair.scheduler.of(key)} == {"n-2"}
    stale, done = await pair.control.deliveries(key=key)
    assert (stale.effect, done.outcome) == (None, "accept:0.1")
    assert done.effect is not None


async def test_a_newer_attempt_has_the_effect_and_the_old_one_none(pair: Pair) -> None:
    """The fence is looked at again when the time of the old one is over."""
    key = new_key()
    await pair.control.configure("builder", script=["accept:0.4", "accept:0.8"])
    await pair.caller.call(key)
    await pair.caller.call(key, attempt=2, fence=2, nonce="n-2")
    assert (await pair.scheduler.end_of(key))["nonce"] == "n-2"
    old, new = await pair.control.deliveries(key=key)
    assert (old.outcome, old.effect, new.outcome) == ("stale", None, "accept:0.8")


async def test_the_end_is_told_until_it_is_taken(pair: Pair) -> None:
    """A scheduler that does not answer well for a moment gets the last report again."""
    pair.scheduler.refusals.extend([503, 503])
    key = await pair.accepted("accept:0.1")
    assert (await pair.scheduler.end_of(key))["status"] == "SUCCESS"
    assert not pair.scheduler.refusals


async def test_with_a_secret_only_who_has_it_may_call(pair: Pair) -> None:
    """Calls that are not signed, signed by others or for another path count for nothing."""
    caller, key = pair.caller, new_key()
    strangers = [
        Caller(caller.http, caller.url, secrets=()),
        Caller(caller.http, caller.url, secrets=(Secret.parse(STRANGE),)),
    ]
    await pair.control.configure("builder", script=["accept:60"])
    for stranger in strangers:
        assert problem(await stranger.call(key)) == (401, "BAD_SIGNATURE")
    assert problem(await caller.call(key, run_id=new_key())) == (400, "INVALID_HEADER")
    meant_for_builder = json.dumps(body_of(key)).encode()
    diverted = await caller.post(meant_for_builder, key, plugin_id="other")
    assert problem(diverted) == (400, "OTHER_PLUGIN")
    assert await pair.control.deliveries(key=key) == []
    await caller.call(key)
    for stranger in strangers:
        assert problem(await stranger.cancel(key)) == (401, "BAD_SIGNATURE")
    assert problem(await caller.cancel(key, about=new_key())) == (401, "BAD_SIGNATURE")
    assert [d.cancelled for d in await pair.control.deliveries(key=key)] == [False]
    assert (await caller.cancel(key)).status_code == 202


@pytest.fixture
def deaf_scheduler() -> Iterator[str]:
    """The URL of a scheduler that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_scheduler_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, secret_file: Path, deaf_scheduler: str
) -> None:
    """Effects come in time, and the sandbox ends at once; what was under way was stopped."""
    log = tmp_path / "log.jsonl"
    options = ("--scheduler-url", deaf_scheduler, "--secret-file", str(secret_file))
    with running(log, *options) as sandbox:
        async with sandbox.clients() as (control, http):
            pair = Pair(sandbox, Scheduler(), control, Caller(http, sandbox.url))
            pending = await pair.accepted("accept:60")
            done = await pair.accepted("accept:0.2")
            assert (await pair.ended(done)).effect == 1
        started = time.monotonic()
        assert sandbox.stop() == (0, "")
        assert time.monotonic() - started < 2
    ends = {line["key"]: line["outcome"] for line in sandbox.lines() if line["event"] == "end"}
    assert ends == {done: "accept:0.2", pending: "stopped"}


async def test_without_a_scheduler_the_outcome_is_refused_when_it_is_set(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The refusal names the word and the options; the knobs stay what they were."""
    with pytest.raises(SandboxError, match=r": 422 .*'accept:5' .*--scheduler-url"):
        await sandbox.configure("builder", script=["ok", "accept:5"])
    assert (await http.get("/control/plugins")).json() == {"plugins": {}}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--config", "{}/accepts.yaml"], "{}/accepts.yaml: plugins.a.script: 'accept:5' reports"),
        (["--scheduler-url", "http://here"], "--scheduler-url needs --secret-file"),
        (["--secret-file", "{}/none"], "{}/none: No such file"),
        (["--secret-file", "{}/empty"], "{}/empty is empty"),
    ],
)
def test_a_start_that_could_not_report_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    """Exit code 2 before anything is made; the line says what is wrong and what is needed."""
    (tmp_path / "accepts.yaml").write_text("plugins: {a: {script: ['accept:5']}}")
    (tmp_path / "empty").touch()
    log = tmp_path / "log.jsonl"
    given = [option.format(tmp_path) for option in options]
    assert main(["--port", "0", "--log", str(log), *given]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sandbox: {reason.format(tmp_path)}")
    assert said.count("\n") == 1
    assert not log.exists()
