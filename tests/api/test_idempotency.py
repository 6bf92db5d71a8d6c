"""One key, one piece of work, one answer: whoever asks again, whenever, and whichever process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from domain.answered import Answer
from domain.ids import answered_id, recovery_queue
from domain.packing import pack
from shared.codec import encrypting
from shared.codec_keys import Key, KeyRing
from shared.errors import NotFound
from starter import control, idempotency
from starter.idempotency import KeyReused, answer_once
from starter.turns import Turns
from tests.api.harness import Door, door
from tests.api.operator import TASK, Operator
from tests.api.test_problems import problem
from tests.starter.harness import eventually_async
from worker.build import workflow_runner
from workflows.answered import Answered

QUEUE = "answers-are-kept-here"


@pytest.fixture
def ann(api: Door, tenant: str) -> Operator:
    """May everything within the test's tenant."""
    return Operator.of(api, tenant)


@asynccontextmanager
async def replica(temporal: Client, folder: Path, ann: Operator) -> AsyncIterator[Operator]:
    """The same caller at another process, which shares nothing with the first but Temporal."""
    async with door(temporal, folder, tokens_file=ann.door.context.settings.tokens_file) as opened:
        yield replace(ann, door=opened)


async def test_every_write_is_answered_again_as_it_was(
    temporal: Client, ann: Operator, tmp_path: Path
) -> None:
    """Byte for byte, by a process that begins later, though asking anew would say otherwise."""
    writes: list[tuple[str, str, Any]] = [
        ("POST", "/tasks/register", TASK),
        ("PUT", "/tasks/report/pause", {"reason": "rest"}),
        ("PUT", "/tasks/report/resume", None),
        ("POST", "/tasks/report/trigger", {"payload": 1}),
        ("DELETE", "/tasks/report", None),
    ]
    first = [
        await ann.call(*write, Idempotency_Key=f"key-{number}")
        for number, write in enumerate(writes)
    ]
    cancel = ("POST", f"/runs/{first[3].json()['run_id']}/cancel", None)
    first.append(await ann.call(*cancel, Idempotency_Key="key-5"))

    async with replica(temporal, tmp_path, ann) as other:
        again = [
            await other.call(*write, Idempotency_Key=f"key-{number}")
            for number, write in enumerate([*writes, cancel])
        ]

    assert [answer.status_code for answer in first] == [201, 200, 200, 202, 200, 202]
    assert [a.content for a in again] == [a.content for a in first]
    assert [a.status_code for a in again] == [a.status_code for a in first]
    for name in ("etag", "location"):
        assert [a.headers.get(name) for a in again] == [a.headers.get(name) for a in first]
    assert {a.headers.get("idempotency-replayed") for a in again} == {"true"}
    assert {a.headers.get("idempotency-replayed") for a in first} == {None}


async def test_a_key_with_another_request_is_refused(ann: Operator) -> None:
    """Another body, path, query, method or condition; how a body is written makes no difference."""
    await ann.call("POST", "/tasks/register", TASK, Idempotency_Key="k")
    others = [
        ann.call("POST", "/tasks/register", TASK | {"priority": 1}, Idempotency_Key="k"),
        ann.call("POST", "/tasks/register?conflicts=true", TASK, Idempotency_Key="k"),
        ann.call("POST", "/tasks/register", TASK, Idempotency_Key="k", If_None_Match="*"),
        ann.call("POST", "/tasks/report/trigger", {}, Idempotency_Key="k"),
        ann.call("DELETE", "/tasks/report", Idempotency_Key="k"),
    ]
    for answer in await asyncio.gather(*others):
        problem(answer, 422, "IDEMPOTENCY_KEY_REUSED")
    reordered = dict(reversed(TASK.items()))
    same = await ann.call("POST", "/tasks/register", reordered, Idempotency_Key="k")
    assert same.status_code == 201
    assert (await ann.call("GET", "/tasks/report")).json()["task"]["priority"] == 3


async def test_keys_of_tenants_are_their_own(api: Door, ann: Operator, tenant: str) -> None:
    """The same key of somebody else is another key."""
    bob = Operator.of(api, f"{tenant}-b")
    answers = [
        await who.call("POST", "/tasks/register", TASK, Idempotency_Key="k") for who in (ann, bob)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json()["tasks"][0]["tenant_id"] == bob.tenant


async def test_many_at_once_are_answered_alike(
    temporal: Client, ann: Operator, tmp_path: Path
) -> None:
    """Twenty triggers of two processes under one key are one run; a task is deleted once."""
    await ann.register()
    async with replica(temporal, tmp_path, ann) as other:
        both = (ann, other) * 10
        triggered = await asyncio.gather(
            *(who.call("POST", "/tasks/report/trigger", {}, Idempotency_Key="go") for who in both)
        )
        deleted = await asyncio.gather(
            *(who.call("DELETE", "/tasks/report", Idempotency_Key="del") for who in both)
        )

    assert {(a.status_code, a.content) for a in triggered} == {
        (202, f'{{"run_id":"run/{ann.tenant}/report/manual/go"}}'.encode())
    }
    assert len({(a.status_code, a.content) for a in deleted}) == 1
    assert deleted[0].status_code == 200


@pytest.mark.fault(11)
async def test_a_process_that_died_before_it_answered_starts_no_second_run(
    temporal: Client, ann: Operator
) -> None:
    """The key is the run's key too: what was begun is found when it is asked for again."""
    await ann.register()
    begun = await control.trigger(temporal, ann.tenant, "report", payload=1, key="once")

    answer = await ann.call("POST", "/tasks/report/trigger", {"payload": 1}, Idempotency_Key="once")

    assert (answer.status_code, answer.json()) == (202, {"run_id": begun})


async def test_what_was_refused_is_not_kept(ann: Operator) -> None:
    """Nothing was done: under the same key it may succeed once it can."""
    refused = await ann.call("PUT", "/tasks/report/pause", {}, Idempotency_Key="k")
    await ann.register()
    done = await ann.call("PUT", "/tasks/report/pause", {}, Idempotency_Key="k")

    problem(refused, 404, "NOT_FOUND")
    assert (done.status_code, done.headers.get("idempotency-replayed")) == (200, None)


async def test_a_key_that_cannot_be_one_is_named(ann: Operator) -> None:
    """Nothing is done under it."""
    for key in ("", "a b", "x" * 129, "a\tb"):
        answer = await ann.call("POST", "/tasks/register", TASK, Idempotency_Key=key)
        [error] = problem(answer, 422, "INVALID_INPUT")["errors"]
        assert error["path"] == "Idempotency-Key"
    longest = await ann.call("POST", "/tasks/register", TASK, Idempotency_Key="~" * 128)
    assert longest.status_code == 201


async def test_answers_of_any_length_are_kept(ann: Operator) -> None:
    """Forty tasks make one far longer than what one task does."""
    body = {"tasks": [TASK | {"task_id": f"t{number}"} for number in range(40)]}
    first = await ann.call("POST", "/tasks/register", body, Idempotency_Key="long")
    again = await ann.call("POST", "/tasks/register", body, Idempotency_Key="long")

    assert len(first.content) > 8_000
    assert first.content == again.content


async def answered(
    temporal: Client,
    tenant: str,
    work: Callable[[], Awaitable[Answer]],
    *,
    request: str = "r",
) -> tuple[Answer, bool]:
    """What a process of its own answers."""
    return await answer_once(temporal, tenant, "k", request, work, task_queue=QUEUE, turns=Turns())


class Work:
    """Takes until its gate opens, and then answers or raises."""

    def __init__(self, outcome: Answer | Exception) -> None:
        self.outcome = outcome
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self) -> Answer:
        """Do it."""
        self.begun.set()
        await self.gate.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    "late", [Answer(request="r", status=200, body="late"), NotFound("it is gone already")]
)
async def test_of_two_processes_at_work_the_first_kept_answer_is_given_by_both(
    temporal: Client, tenant: str, late: Answer | Exception
) -> None:
    """Also by the one that found nothing left to do and would have refused."""
    first, second = Work(Answer(request="r", status=200, body="first")), Work(late)
    asked = [asyncio.create_task(answered(temporal, tenant, work)) for work in (second, first)]
    await asyncio.gather(first.begun.wait(), second.begun.wait())

    first.gate.set()
    done = await asked[1]
    second.gate.set()
    after = await asked[0]

    assert done == (first.outcome, False)
    assert after == (first.outcome, True)
    with pytest.raises(KeyReused):
        await answered(temporal, tenant, second, request="another")


async def test_one_that_refuses_first_waits_for_what_another_does(
    temporal: Client, tenant: str
) -> None:
    """Of two deletes the one that came too late may be told so before the other has answered."""
    first = Work(Answer(request="r", status=200, body="first"))
    second = Work(NotFound("it is gone already"))
    asked = [asyncio.create_task(answered(temporal, tenant, work)) for work in (second, first)]
    await asyncio.gather(first.begun.wait(), second.begun.wait())

    second.gate.set()
    await asyncio.sleep(idempotency.LATE_SECONDS / 4)
    first.gate.set()

    assert [answer for answer, _ in await asyncio.gather(*asked)] == [first.outcome] * 2


async def test_answers_are_encrypted_with_everything_else(temporal: Client, tenant: str) -> None:
    """Whoever has the keys is answered again; whoever reads Temporal's store learns nothing."""
    keys: Any = {"data_converter": encrypting(KeyRing((Key.new("k1"),)))}
    client = Client(**{**temporal.config(), **keys})
    work = Work(Answer(request="r", status=200, body=pack("a canary"), headers={"ETag": "canary"}))
    work.gate.set()

    first = await answered(client, tenant, work)
    again = await answered(client, tenant, work)

    history = await temporal.get_workflow_handle(answered_id(tenant, "k")).fetch_history()
    assert (first, again) == ((work.outcome, False), (work.outcome, True))
    assert "canary" not in history.to_json()
    assert pack("a canary") not in history.to_json()


async def test_workers_end_what_keeps_an_answer_and_it_is_kept_still(
    temporal: Client, tenant: str
) -> None:
    """It is Temporal's retention that forgets it, and no process of ours has to run until then."""
    work = Work(Answer(request="r", status=201, body="b", headers={"ETag": '"x"'}))
    work.gate.set()
    first = await answered(temporal, tenant, work)
    handle = temporal.get_workflow_handle(answered_id(tenant, "k"))

    async def ended() -> bool:
        return (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED

    async with Worker(
        temporal,
        task_queue=recovery_queue(QUEUE),
        workflows=[Answered],
        workflow_runner=workflow_runner(),
    ):
        await eventually_async(ended)

    assert first == (work.outcome, False)
    assert await answered(temporal, tenant, work) == (work.outcome, True)
