"""What a plugin reports about an execution that it accepted, in whatever order it comes."""

import asyncio
from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from activities.answers import MAX_RESULT_BYTES
from domain.executions import ExecutionReport, nonce_of
from domain.states import RunState
from shared.errors import NotFound, Refused
from starter.executions import MAX_PROGRESS_BYTES, progress_text, report
from tests.activities.server import ok
from tests.executions.harness import Executions, Told


async def test_an_accepted_execution_ends_with_its_report(executions: Executions) -> None:
    """A 202 leaves the attempt open, progress shows, and SUCCESS ends it with its result."""
    run = await executions.start()
    told = await run.accepted()
    assert not (await told.report(0, progress={"done": 1}, message="reading")).duplicate
    progress = await told.progress()
    assert progress is not None
    assert (progress.sequence, progress.progress) == (0, {"done": 1})
    text = progress_text(progress, "10:00")
    assert text == 'the plugin accepted it at 10:00; progress: {"done": 1}, reading'
    await told.report(1, "SUCCESS", result=[1, None])
    end = await run.end()
    assert end.result is not None
    assert (end.result.status, end.result.attempt, end.result.result) == (
        RunState.SUCCESS,
        1,
        [1, None],
    )
    assert not end.result.accepted
    assert await told.progress() is None


_STEPS: dict[str, dict[str, Any]] = {
    "first": {"sequence": 0, "progress": 10},
    "second": {"sequence": 1, "progress": 20},
    "end": {"sequence": 2, "status": "SUCCESS", "result": "done"},
}


@pytest.mark.fault(17)
async def test_reports_in_any_order_end_it_once_and_never_go_back(executions: Executions) -> None:
    """Whatever is older than what is known changes nothing, and after the end nothing does."""

    async def play(order: tuple[str, ...]) -> None:
        run = await executions.start()
        told = await run.accepted()
        newest, over = -1, False
        for name in order:
            step = _STEPS[name]
            outcome = await told.outcome(**step)
            if over:
                assert outcome in ("ALREADY_ENDED", "OLD_ATTEMPT"), order
                continue
            assert outcome == ("taken" if step["sequence"] > newest else "duplicate"), order
            newest = max(newest, step["sequence"])
            over = name == "end"
            if not over:
                progress = await told.progress()
                assert progress is not None
                assert progress.sequence == newest, order
        end = await run.end()
        assert end.result is not None
        assert end.result.result == "done"

    await asyncio.gather(*(play(order) for order in permutations(_STEPS)))


@pytest.mark.fault(17)
async def test_a_report_that_comes_twice_changes_nothing(executions: Executions) -> None:
    """Also a final one: the second meets an attempt that is over."""
    run = await executions.start()
    told = await run.accepted()
    assert await told.outcome(3, progress="a") == "taken"
    assert await told.outcome(3, progress="b") == "duplicate"
    progress = await told.progress()
    assert progress is not None
    assert progress.progress == "a"
    both = await asyncio.gather(*(told.outcome(4, "SUCCESS") for _ in range(2)))
    assert both.count("taken") == 1
    await run.end()
    assert await told.outcome(4, "SUCCESS") == "ALREADY_ENDED"
    assert await told.outcome(5, "FAILED") == "ALREADY_ENDED"


async def test_two_hundred_reports_at_once(executions: Executions) -> None:
    """A hundred and ninety-nine of progress and an end: one end, and clean answers for the rest."""
    run = await executions.start()
    told = await run.accepted()
    numbers = [n * 83 % 199 for n in range(199)]  # every one of them once, in no order
    calls = [told.outcome(n, progress=n) for n in numbers]
    calls.insert(150, told.outcome(1000, "SUCCESS", result="done"))
    outcomes = Counter(await asyncio.gather(*calls))
    assert set(outcomes) <= {"taken", "duplicate", "ALREADY_ENDED", "OLD_ATTEMPT"}
    end = await run.end()
    assert end.result is not None
    assert end.result.result == "done"


async def test_two_hundred_ends_at_once_are_one(executions: Executions) -> None:
    """Of the same end told two hundred times one counts."""
    run = await executions.start()
    told = await run.accepted()
    outcomes = await asyncio.gather(*(told.outcome(0, "SUCCESS", result=n) for n in range(200)))
    assert Counter(outcomes)["taken"] == 1
    end = await run.end()
    assert end.result is not None
    assert end.result.result == outcomes.index("taken")


@pytest.mark.fault(17)
async def test_a_foreign_or_unknown_execution_gives_nothing_away(executions: Executions) -> None:
    """Another tenant's, one that is none, and one whose nonce is wrong all look the same."""
    run = await executions.start()
    told = await run.accepted()
    body = told.body
    temporal_run = (await run.handle.describe()).run_id
    wrong = [
        (told.says(0, "SUCCESS"), "beta"),
        (told.says(0, "SUCCESS", nonce="0" * 32), "acme"),
        (told.says(0, "SUCCESS", nonce="\u00fc"), "acme"),
        (told.says(0, "SUCCESS", attempt=2), "acme"),
        (told.says(0, "SUCCESS", run_id=f"{body['run_id']}/compensation"), "acme"),
        (told.says(0, "SUCCESS", run_id=body["run_id"] + "x"), "acme"),
        (told.says(0, "SUCCESS", run_id="governor/acme"), "acme"),
        (told.says(0, "SUCCESS", run_id="../\n"), None),
        # An attempt that is still to come, by somebody who knows how nonces are made.
        (told.says(0, "SUCCESS", attempt=2, nonce=nonce_of(temporal_run, run.handle.id, 2)), None),
    ]
    for said, tenant in wrong:
        with pytest.raises(NotFound) as refusal:
            await report(executions.client, tenant, said)
        assert str(refusal.value).startswith(f"there is no execution {said.run_id!r} with this")
    progress = await told.progress()
    assert progress is not None
    assert progress.sequence == -1
    await told.report(0, "SUCCESS", tenant=None)
    await run.end()
    with pytest.raises(NotFound):  # also of a run that has ended
        await report(executions.client, "acme", told.says(0, "SUCCESS", nonce="0" * 32))


@pytest.mark.fault(7, 17)
async def test_an_old_attempt_cannot_end_the_next(executions: Executions) -> None:
    """What attempt 1 still says is refused, before and after attempt 2 ends."""
    run = await executions.start(attempts=2)
    first = await run.accepted(1)
    await first.report(0, "FAILED", error_code="BUSY", message="later")
    second = await run.accepted(2)
    assert first.body["nonce"] != second.body["nonce"]
    assert first.body["run_id"] == second.body["run_id"]
    for status in ("RUNNING", "SUCCESS", "FAILED"):
        assert await first.outcome(9, status) == "OLD_ATTEMPT"
    assert await second.outcome(0, "SUCCESS", result=2) == "taken"
    failed, done = await run.ends()
    assert (failed.code, failed.message, failed.non_retryable) == ("BUSY", "later", False)
    assert failed.details == ({"attempt": 1},)
    assert done.result is not None
    assert (done.result.attempt, done.result.result) == (2, 2)
    assert await first.outcome(10, "SUCCESS") == "ALREADY_ENDED"


async def test_an_old_attempt_cannot_end_one_that_temporal_counts(executions: Executions) -> None:
    """Runs that began before runs counted attempts: there one activity has them all."""
    run = await executions.start(attempts=0)
    first = await run.accepted(1)
    await first.report(5, "FAILED", error_code="BUSY")
    second = await run.accepted(2)
    assert await first.outcome(9, "SUCCESS") == "OLD_ATTEMPT"
    assert await second.outcome(0) == "taken"  # sequences begin anew
    assert await second.outcome(1, "SUCCESS") == "taken"
    end = await run.end()
    assert end.result is not None
    assert end.result.attempt == 2


@pytest.mark.parametrize(
    ("said", "code", "message", "final"),
    [
        ({}, "PLUGIN_FAILED", "gave no message", False),
        ({"error_code": "BAD", "message": "no", "retryable": False}, "BAD", "no", True),
    ],
)
async def test_a_reported_failure_fails_the_attempt(
    executions: Executions, said: dict[str, Any], code: str, message: str, *, final: bool
) -> None:
    """Code, message and whether to try again are the plugin's, as with an answer."""
    run = await executions.start()
    told = await run.accepted()
    await told.report(0, "FAILED", **said)
    end = await run.end()
    assert (end.code, end.non_retryable) == (code, final)
    assert message in end.message


async def test_a_reported_result_has_the_limit_of_an_answer(executions: Executions) -> None:
    """Too large a result is a failure that names the limit, and another attempt is of no use."""
    run = await executions.start()
    told = await run.accepted()
    assert await told.outcome(0, "SUCCESS", result="x" * MAX_RESULT_BYTES) == "taken"
    end = await run.end()
    assert (end.code, end.non_retryable) == ("PLUGIN_BAD_ANSWER", True)
    assert str(MAX_RESULT_BYTES) in end.message


async def test_progress_has_a_limit(executions: Executions) -> None:
    """What Temporal would keep with the run is to be short, and text; the limit is named."""
    run = await executions.start()
    told = await run.accepted()
    with pytest.raises(Refused, match=str(MAX_PROGRESS_BYTES)):
        await told.report(0, progress="x" * MAX_PROGRESS_BYTES)
    for field in ("progress", "result"):  # half of a character; other fields are checked before
        with pytest.raises(Refused, match="Unicode"):
            await told.report(0, **{field: "\ud800"})
    await told.report(0, "SUCCESS")
    await run.end()


async def test_a_report_may_come_before_the_202(executions: Executions) -> None:
    """A quick plugin ends before its acceptance is known: its nonce is enough."""
    executions.server.answer = _early(executions, {"sequence": 0, "status": "SUCCESS", "result": 5})
    run = await executions.start()
    end = await run.end()
    assert end.result is not None
    assert end.result.result == 5
    assert len(run.calls()) == 1


async def test_reports_of_a_compensation_are_not_those_of_its_run(executions: Executions) -> None:
    """They have a key of their own: what is said of the run does not end its compensation."""
    run = await executions.start(compensates=True)
    told = await run.accepted()
    assert told.body["run_id"] == f"{run.handle.id}/compensation"
    assert told.body["compensates"] == run.handle.id
    (sent,) = run.calls()
    assert sent.headers["idempotency-key"] == told.body["run_id"]
    temporal_run = (await run.handle.describe()).run_id
    of_run = told.says(
        0, "SUCCESS", run_id=run.handle.id, nonce=nonce_of(temporal_run, run.handle.id, 1)
    )
    assert await _outcome(executions, of_run) == "OLD_ATTEMPT"
    assert await told.outcome(0, "SUCCESS") == "taken"
    await run.end()


async def test_a_run_may_be_called_like_a_compensation(executions: Executions) -> None:
    """A person chose that key; its reports are its own all the same."""
    run = await executions.start(key="/compensation")
    told = await run.accepted()
    assert await told.outcome(0, nonce="0" * 32) == "NOT_FOUND"
    assert await told.outcome(0, "SUCCESS") == "taken"
    await run.end()


async def _outcome(executions: Executions, said: ExecutionReport) -> str:
    return await Told(executions.client, said.model_dump()).outcome(said.sequence, said.status)


def _early(executions: Executions, said: dict[str, Any]) -> Any:
    async def answer(writer: asyncio.StreamWriter) -> None:
        told = Told(executions.client, executions.server.requests[-1].body)
        assert await told.outcome(**said) == "taken"
        await ok({"status": "SUCCESS", "result": "too late"})(writer)

    return answer
