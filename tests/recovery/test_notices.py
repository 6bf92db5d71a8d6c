"""Telling of a breach: once per breach id, whatever the service and the workers do."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from domain.ids import notice_id, work_order_id
from domain.notices import BreachKind, Notified
from domain.task import Flags
from domain.work_orders import Act, OrderState
from shared.calls import is_missing
from shared.settings import Settings
from tests.activities.server import Answer, drip, http, ok, raw, reset, silence
from tests.recovery.harness import INCIDENT, TAKEN, Recovery, script
from tests.starter.harness import eventually_async
from worker.main import shared_parts
from worker.recovery import build_recovery_worker

_TRUNCATED = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + b'{"work_order_id": "INC-')


async def test_the_request_carries_the_contract(recovery: Recovery) -> None:
    """Path, body and headers are those that the notification service is promised."""
    notice = recovery.notice(recovery.task(), BreachKind.FINISH, severity="high")
    assert await recovery.told(notice) == Notified(work_order_id=INCIDENT)
    [request] = recovery.sent()
    breach = notice.breach
    assert request.line == "POST /notifications/sla-breach HTTP/1.1"
    assert request.headers["idempotency-key"] == breach.breach_id
    version, _, span, flags = request.headers["traceparent"].split("-")
    assert (version, len(span), flags) == ("00", 16, "01")
    said = breach.model_dump(mode="json")
    order = request.body.pop("work_order")
    assert request.body == said
    assert set(said) == {
        *("breach_id", "kind", "tenant_id", "task_id", "run_id"),
        *("expected_by", "observed_at", "severity", "message"),
    }
    assert set(order) == {"work_order_id", "cause", "error_code", "due_at", "attempts"}
    assert order["work_order_id"] == work_order_id(breach.run_id)
    assert [attempt["error_code"] for attempt in order["attempts"]] == ["BROKEN"]


async def test_without_a_work_order_it_is_null(recovery: Recovery) -> None:
    """A task that wants none has none, and the service may answer that it has none either."""
    recovery.server.answer = ok({"work_order_id": None})
    notice = recovery.notice(recovery.task(), BreachKind.WARNING, order=False)
    assert await recovery.told(notice) == Notified(work_order_id=None)
    [request] = recovery.sent()
    assert request.body["work_order"] is None
    with pytest.raises(Exception, match="not found") as missing:
        await recovery.order(notice.breach.run_id).view()
    assert is_missing(missing.value)  # type: ignore[arg-type]


async def test_without_a_service_nobody_is_told_and_the_work_order_is_there(
    idle: Recovery,
) -> None:
    """It can be worked on by the command line alone."""
    idle.told_url = False
    async with idle.working():
        notice = idle.notice(idle.task())
        assert await idle.told(notice) == Notified(asked=False)
        view = await idle.order(notice.breach.run_id).view()
    assert view.external_id is None
    assert idle.sent() == []


@pytest.mark.parametrize(
    "answer",
    [
        http("503 Service Unavailable"),
        http("429 Too Many Requests", retry_after="1"),
        http("408 Request Timeout"),
        http("302 Found", location="/elsewhere"),
        reset(),
        raw(b""),
        _TRUNCATED,
        ok("not json"),
        ok("[]"),
        ok({}),
        ok({"work_order_id": 7}),
        ok({"work_order_id": ""}),
        ok('{"work_order_id": NaN}'),
        ok({"work_order_id": "x" * 257}),
        ok({"work_order_id": "INC-1", "error": "out of order"}),
        ok({"work_order_id": "INC-1", "type": "about:blank", "status": 500}),
        ok('{"work_order_id": "INC-1", "more": "' + "x" * 70_000 + '"}'),
    ],
)
async def test_what_is_no_answer_is_asked_again_under_the_same_key(
    recovery: Recovery, answer: Answer
) -> None:
    """The second call is the same as the first, and its answer is the one that counts."""
    script(recovery.server, answer, TAKEN)
    notice = recovery.notice(recovery.task(), order=False)
    assert (await recovery.told(notice)).work_order_id == INCIDENT
    first, second = recovery.sent()
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["traceparent"][:35] == second.headers["traceparent"][:35]


@pytest.mark.parametrize("slow", [silence(30, TAKEN), drip(b"HTTP/1.1 200 OK\r\n\r\n")])
async def test_one_deadline_holds_for_the_whole_call(idle: Recovery, slow: Answer) -> None:
    """A service that hangs or drips is left, and asked again."""
    idle.timeout = 0.3
    script(idle.server, slow, TAKEN)
    async with idle.working():
        assert (await idle.told(idle.notice(idle.task()))).work_order_id == INCIDENT
    assert len(idle.sent()) == 2


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found"])
async def test_a_refusal_is_final_and_shows(recovery: Recovery, status: str) -> None:
    """The notice fails, red in Temporal; the work order stands."""
    recovery.server.answer = http(status)
    notice = recovery.notice(recovery.task())
    with pytest.raises(WorkflowFailureError) as failure:
        await recovery.told(notice)
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "NOTIFICATION_REFUSED"
    assert status in cause.message
    assert len(recovery.sent()) == 1
    assert (await recovery.order(notice.breach.run_id).view()).external_id is None


async def test_raised_a_hundred_times_it_is_told_once(recovery: Recovery) -> None:
    """At once and afterwards; it is counted once too."""
    notice = recovery.notice(recovery.task())
    await asyncio.gather(*(recovery.raise_all(notice) for _ in range(50)))
    await recovery.ended(notice.breach.breach_id)
    await asyncio.gather(*(recovery.raise_all(notice) for _ in range(50)))
    assert len(recovery.sent()) == 1
    assert recovery.counted(BreachKind.FAILED) == 1


async def test_a_worker_that_goes_away_in_between_loses_nothing(idle: Recovery) -> None:
    """The next one tells what the first could not, under the same key, and nothing twice."""
    notice = idle.notice(idle.task())
    idle.server.answer = http("503 Service Unavailable")
    async with idle.working():
        await idle.raise_all(notice)

        async def tried() -> bool:
            return bool(idle.sent())

        await eventually_async(tried)
    idle.server.answer = TAKEN
    async with idle.working():
        assert (await idle.ended(notice.breach.breach_id)).work_order_id == INCIDENT
        view = await idle.order(notice.breach.run_id).view()
    assert view.external_id == INCIDENT
    assert len(view.breaches) == 1
    assert {request.headers["idempotency-key"] for request in idle.sent()} == {
        notice.breach.breach_id
    }


async def test_with_the_flag_off_only_failures_are_raised(recovery: Recovery) -> None:
    """And whoever raises learns that nobody monitors."""
    recovery.flags = Flags.model_validate({"task-sla-monitor": False})
    task = recovery.task()
    late, failed = (recovery.notice(task, kind) for kind in (BreachKind.FINISH, BreachKind.FAILED))
    assert (await recovery.raise_all(late, failed)).monitored is False
    await recovery.ended(failed.breach.breach_id)
    with pytest.raises(Exception, match="not found"):
        await recovery.client.get_workflow_handle(notice_id(late.breach.breach_id)).describe()
    assert recovery.counted(BreachKind.FINISH) == 0
    recovery.flags = Flags()
    assert (await recovery.raise_all(late)).monitored is True
    await recovery.ended(late.breach.breach_id)


async def test_a_worker_of_the_product_does_all_of_it(idle: Recovery) -> None:
    """Wired as the product wires it: told, and a retry prepared."""
    settings = Settings(
        task_queue=f"{idle.queue}-product", notifications_url=idle.server.url, watch=False
    )
    product = Recovery(idle.client, idle.server, idle.http, queue=settings.task_queue)
    async with shared_parts(idle.client, settings) as parts, build_recovery_worker(parts):
        notice = product.notice(product.task())
        assert (await product.told(notice)).work_order_id == INCIDENT
        order = product.order(notice.breach.run_id)
        await order.act(Act.RETRY)

        async def is_open() -> bool:
            return (await order.view()).status is OrderState.OPEN

        await eventually_async(is_open)
        assert "is there any more" in (await order.view()).notes[-1].what
