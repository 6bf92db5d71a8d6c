"""Events by HTTP: each mode of CloudEvents, the same event many times, and what is no event.

Fault rows 16 and 27. What rules match, and how runs of events go on, is tested beside them.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.typing import EventDict
from temporalio.client import Client

from domain.rules import RuleIndex, RuleSource
from starter.callers import Scope
from tests.api.harness import Door, door
from tests.api.test_problems import EVENTS, problem
from tests.conftest import task_of

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture(scope="module")
async def shop(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """An app that knows three tasks of acme: of large orders, of few refunds, and a paused one."""
    triggers = {
        "check": {"event": "order.created", "filter": "data.amount > 100"},
        "refund": {"event": "order.refunded", "max_events_per_minute": 1},
        "closed": {"event": "order.closed"},
    }
    async with door(temporal, tmp_path_factory.mktemp("shop")) as opened:
        await opened.context.rules.refresh_now()
        opened.context.rules.index = RuleIndex.of(
            RuleSource(
                task_of(task_id=task_id, triggers=[trigger]),
                1.0,
                "nobody-works-here",
                paused=task_id == "closed",
                limited=False,
            )
            for task_id, trigger in triggers.items()
        )
        yield opened


@pytest.fixture(scope="module")
def acme(shop: Door) -> dict[str, str]:
    """Who publishes events of acme."""
    return shop.caller("acme", Scope.EVENT_PUBLISH)


def order(event_id: str, amount: Any = 120, kind: str = "created") -> dict[str, Any]:
    """An event of the shop."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/shop",
        "type": f"order.{kind}",
        "data": {"amount": amount},
    }


async def test_each_mode_tells_the_same_event(shop: Door, acme: dict[str, str]) -> None:
    """Structured, as JSON, binary and in a batch: one run, and the same words for it."""
    event = order("modes")
    binary = {"ce-specversion": "1.0", "ce-id": "modes", "ce-source": "/shop"}
    binary |= {"ce-type": "order.created", "Content-Type": "application/json"}
    answers = [
        await shop.http.post(EVENTS, content=json.dumps(content), headers={**kind, **acme})
        for kind, content in (
            (STRUCTURED, event),
            ({"Content-Type": "application/json"}, event),
            (binary, event["data"]),
            (BATCH, [event]),
        )
    ]
    assert {answer.status_code for answer in answers} == {202}
    (document,) = {answer.text for answer in answers}
    (received,) = json.loads(document)["events"]
    (run,) = received["runs"]
    assert (received["id"], received["source"], received["type"]) == (
        "modes",
        "/shop",
        "order.created",
    )
    assert run["task_id"] == "check"
    assert run["run_id"].startswith("run/acme/check/event/")


@pytest.mark.fault(16)
async def test_the_same_event_a_hundred_times_at_once_is_one_run(
    shop: Door, temporal: Client, acme: dict[str, str]
) -> None:
    """A hundred equal answers, and Temporal has one run of it."""
    body = json.dumps(order("hundred"))
    answers = await asyncio.gather(
        *(shop.http.post(EVENTS, content=body, headers={**STRUCTURED, **acme}) for _ in range(100))
    )
    assert {answer.status_code for answer in answers} == {202}
    (text,) = {answer.text for answer in answers}
    run_id = json.loads(text)["events"][0]["runs"][0]["run_id"]
    description = await temporal.get_workflow_handle(run_id).describe()
    assert description.raw_description.workflow_execution_info.first_run_id == description.run_id


async def test_a_batch_tells_what_became_of_each(
    shop: Door, acme: dict[str, str], logs: list[EventDict]
) -> None:
    """In its order: a run, no match, a filter that failed, a paused task; the audit counts them."""
    batch = [
        order("b1"),
        order("b2", amount=5),
        order("b3", amount="much"),
        order("b4", kind="closed"),
        order("b5", kind="lost"),
    ]
    answer = await shop.http.post(EVENTS, content=json.dumps(batch), headers={**BATCH, **acme})
    assert answer.status_code == 202
    events = answer.json()["events"]
    assert [event["id"] for event in events] == ["b1", "b2", "b3", "b4", "b5"]
    assert [len(event["runs"]) for event in events] == [1, 0, 0, 0, 0]
    assert [len(event["failed_filters"]) for event in events] == [0, 0, 1, 0, 0]
    assert [event["paused"] for event in events] == [[], [], [], ["closed"], []]
    assert all(event["note"] for event in events[1:])
    (line,) = (line for line in logs if line.get("action") == "audit")
    assert (line["tenant_id"], line["ids"]["events"], line["status"]) == ("acme", "5", 202)


async def test_a_rule_that_has_had_enough_is_429(shop: Door, acme: dict[str, str]) -> None:
    """With when to come again and what did happen; the event that was taken stays taken."""

    async def tell(*events: dict[str, Any]) -> Any:
        headers = {**BATCH, **acme}
        return await shop.http.post(EVENTS, content=json.dumps(list(events)), headers=headers)

    first, second = order("r1", kind="refunded"), order("r2", kind="refunded")
    assert (await tell(first)).status_code == 202
    answer = await tell(order("r3"), first, second)
    document = problem(answer, 429, "TOO_MANY_REQUESTS")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert [len(event["runs"]) for event in document["events"]] == [1, 1, 0]
    assert [len(event["limited"]) for event in document["events"]] == [0, 0, 1]
    assert (await tell(first)).status_code == 202


async def test_events_are_of_the_tenant_of_the_token(shop: Door) -> None:
    """The same event of another tenant runs nothing of acme's; admins say whose it is."""
    body = json.dumps(order("whose"))

    async def tell(caller: dict[str, str], **named: str) -> Any:
        headers = {**STRUCTURED, **caller}
        return await shop.http.post(EVENTS, content=body, headers=headers, params=named)

    beta = shop.caller("beta", Scope.EVENT_PUBLISH)
    answer = await tell(beta)
    assert (answer.status_code, answer.json()["events"][0]["runs"]) == (202, [])
    problem(await tell(beta, tenant_id="acme"), 404, "NOT_FOUND")
    admin = shop.caller(None)
    problem(await tell(admin), 422, "INVALID_INPUT")
    assert (await tell(admin, tenant_id="acme")).json()["events"][0]["runs"]
    writer = shop.caller("acme", *(set(Scope) - {Scope.EVENT_PUBLISH, Scope.ADMIN}))
    problem(await tell(writer), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("kind", "content", "status", "paths"),
    [
        (STRUCTURED, [], 422, [""]),
        (STRUCTURED, {"specversion": "0.3"}, 422, ["id", "source", "specversion", "type"]),
        (STRUCTURED, order("x", amount="x" * 70_000), 413, None),
        (BATCH, {}, 422, [""]),
        (BATCH, [order("x")] * 101, 422, [""]),
        (BATCH, [order("x"), {**order("y"), "type": 7}, None], 422, ["[1].type", "[2]"]),
        (BATCH, [order("x"), order("y", amount="y" * 70_000)], 422, ["[1]"]),
        (BATCH, [order("x", amount="x" * 1_100_000)], 413, None),
        (BATCH, [{**order("x"), "type": "task.execution.updated"}], 422, ["[0].type"]),
        ({"ce-id": "x"}, 1, 422, ["ce-source", "ce-specversion", "ce-type"]),
        ({"ce-id": "x"}, "x" * 70_000, 413, None),
        ({"Content-Type": "text/plain"}, order("x"), 415, None),
    ],
)
async def test_what_is_no_event_is_refused_whole(
    shop: Door, acme: dict[str, str], *, kind: Any, content: Any, status: int, paths: Any
) -> None:
    """With each place that is wrong, or the limit that is passed."""
    answer = await shop.http.post(EVENTS, content=json.dumps(content), headers={**kind, **acme})
    codes = {413: "BODY_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 422: "INVALID_INPUT"}
    document = problem(answer, status, codes[status])
    if paths is not None:
        assert sorted(error["path"] for error in document["errors"]) == paths
