"""Every route against the tokens of others, and against none (fault row 28).

The routes are those of OpenAPI: one that is new fails here until its case is written.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from temporalio.client import Client, Interceptor, OutboundInterceptor

from domain.ids import registry_id, schedule_id
from domain.policy import Policy
from domain.registry import shard_of
from shared.codec_keys import create_keys
from shared.registry import read_shard
from starter.api import health
from starter.api.routes import ROUTERS
from starter.callers import TENANT_SCOPES, Scope
from starter.tokens import create_token, revoke_token
from tests.api.harness import Door, door
from tests.api.operator import TASK
from tests.api.test_problems import problem
from tests.starter.limits import Limits

CANARY = "canary-5fd1c0a9"
"""In everything that the first tenant says of itself."""
TASK_ID = TASK["task_id"]
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
PAYLOADS = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]}


def _task(tenant_id: str) -> Any:
    triggers = [*TASK["triggers"], {"event": EVENT["type"]}]
    return TASK | {"tenant_id": tenant_id, "triggers": triggers, "params": {"canary": CANARY}}


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, and what somebody gets to whom it says nothing.

    `body`: of the tenant whose it is. `nothing`: members of the answer where that is a list of
    one's own; otherwise it is the `refusal`.
    """

    body: Callable[[str], Any] | None = None
    refusal: tuple[int, str] = (404, "NOT_FOUND")
    nothing: dict[str, Any] | None = None
    reads: bool = False


EVERYBODY = {"health", "readiness", "metrics"}
"""These ask for no token."""
FOR_ADMINS = Case(lambda _: PAYLOADS, (403, "FORBIDDEN"))
CASES = {  # in an order in which their owner can do all of it
    "listTasks": Case(nothing={"tasks": []}, reads=True),
    "showTask": Case(reads=True),
    "listRuns": Case(reads=True),
    "explainTask": Case(reads=True),
    "showRun": Case(reads=True),
    "forecast": Case(nothing={"tasks": 0, "fires": 0, "conflicts": []}, reads=True),
    "slaReport": Case(nothing={"rows": []}, reads=True),
    "rehearseTasks": Case(_task, reads=True),
    "registerTasks": Case(_task),
    "pauseTask": Case(lambda _: {"reason": CANARY, "running": True}),
    "resumeTask": Case(lambda _: {"running": True}),
    "triggerTask": Case(lambda _: {"payload": CANARY}),
    "receiveEvents": Case(lambda _: EVENT),
    "cancelRun": Case(),
    "deleteTask": Case(),
    "decodePayloads": FOR_ADMINS,
    "encodePayloads": FOR_ADMINS,
}
OF_TENANTS = [name for name, case in CASES.items() if case is not FOR_ADMINS]
WRITES = [name for name, case in CASES.items() if not case.reads]


class Recorder(Interceptor):
    """Notes whatever is asked of Temporal."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """Every method, those to come too."""
        recording = OutboundInterceptor(next)
        for name in dir(OutboundInterceptor):
            if not name.startswith("_"):
                setattr(recording, name, partial(self._passed, getattr(next, name)))
        return recording

    def _passed(self, method: Callable[[Any], Any], asked: Any) -> Any:
        self.asked.append(repr(asked))
        return method(asked)


@dataclass(frozen=True, slots=True)
class Owner:
    """A tenant with a token that may everything, a task and a run."""

    tenant: str
    headers: dict[str, str]
    run_id: str


@dataclass(slots=True)
class Scene:
    """Two tenants, of which the first has a task and a run."""

    door: Door
    client: Client
    recorder: Recorder
    ann: Owner
    bob: dict[str, str]
    operations: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def ask(self, name: str, about: Owner, headers: dict[str, str], **query: str) -> Any:
        """The operation of this name, about what somebody has."""
        method, path = self.operations[name]
        ids = {"task_id": TASK_ID, "run_id": quote(about.run_id)}
        body = CASES[name].body
        content = {} if body is None else {"json": body(about.tenant)}
        return await self.door.http.request(
            method, path.format_map(ids), headers=headers, params=query, **content
        )

    async def state(self) -> list[Any]:
        """All that the first tenant has, as it is told by Temporal itself."""
        schedule = await self.client.get_schedule_handle(
            schedule_id(self.ann.tenant, TASK_ID)
        ).describe()
        registry = registry_id(self.ann.tenant, shard_of(TASK_ID))
        lengths = [
            (await self.client.get_workflow_handle(workflow_id).describe()).history_length
            for workflow_id in (registry, self.ann.run_id)
        ]
        return [
            schedule.raw_description.conflict_token,
            schedule.schedule.state.paused,
            schedule.info.num_actions,
            await read_shard(self.client, registry),
            *lengths,
        ]


async def _owner(opened: Door, tenant: str) -> Owner:
    headers = opened.caller(tenant, *TENANT_SCOPES)
    path = "/internal/tasks/register"
    assert (await opened.http.post(path, headers=headers, json=_task(tenant))).status_code == 201
    path = f"/internal/tasks/{TASK_ID}/trigger"
    started = await opened.http.post(path, headers=headers, json={"payload": CANARY})
    await opened.context.rules.refresh_now()
    return Owner(tenant, headers, started.json()["run_id"])


@pytest.fixture(scope="module")
async def scene(
    temporal: Client, policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    """On the session's server, with workers that keep registries and run nothing."""
    folder = tmp_path_factory.mktemp("tenants")
    create_keys(folder / "keys", "k1")
    limits = Limits(temporal, policy)
    recorder = Recorder()
    watched = Client(
        temporal.service_client,
        namespace=temporal.namespace,
        data_converter=temporal.data_converter,
        interceptors=[recorder],
    )
    known: dict[str, Any] = {"task_queue": limits.queue, "codec_keys_file": folder / "keys"}
    async with limits.working(), door(watched, folder, **known) as opened:
        ann = await _owner(opened, f"a{uuid4().hex[:10]}")
        bob = opened.caller(f"b{uuid4().hex[:10]}", *TENANT_SCOPES)
        made = Scene(opened, temporal, recorder, ann, bob)
        for path, methods in opened.app.openapi()["paths"].items():
            for method, operation in methods.items():
                made.operations[operation["operationId"]] = (method.upper(), path)
        yield made


@pytest.mark.fault(28)
async def test_every_route_has_a_case_here(scene: Scene) -> None:
    """And is in OpenAPI, which the cases are made from."""
    assert set(scene.operations) == {*CASES, *EVERYBODY}
    routes = [route for router in (health.router, *ROUTERS) for route in router.routes]
    served = {route.operation_id for route in routes if isinstance(route, APIRoute)}
    assert served == set(scene.operations)


@pytest.mark.parametrize("name", CASES)
async def test_nobody_is_let_in_without_a_token_that_holds(scene: Scene, name: str) -> None:
    """None, one that never was, one that has expired, and one that was revoked."""
    path = scene.door.context.settings.tokens_file
    assert path is not None
    past, hour = datetime.now(UTC) - timedelta(hours=2), timedelta(hours=1)
    made = partial(create_token, path, scene.ann.tenant, TENANT_SCOPES, note="", now=past)
    revoked, shown = made(lives=timedelta(days=1))
    revoke_token(path, revoked.id, now=past)
    credentials = {
        "CREDENTIALS_MISSING": {},
        "TOKEN_INVALID": {"Authorization": f"{scene.ann.headers['Authorization']}0"},
        "TOKEN_EXPIRED": {"Authorization": f"Bearer {made(lives=hour)[1]}"},
        "TOKEN_REVOKED": {"Authorization": f"Bearer {shown}"},
    }
    for code, headers in credentials.items():
        answer = await scene.ask(name, scene.ann, headers)
        problem(answer, 401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("name", WRITES)
async def test_who_may_only_read_changes_nothing(scene: Scene, name: str) -> None:
    """403 for the tenant's own token too, and nothing of it is done."""
    before = await scene.state()
    reader = scene.door.caller(scene.ann.tenant, Scope.TASK_READ)
    problem(await scene.ask(name, scene.ann, reader), 403, "FORBIDDEN")
    assert await scene.state() == before


@pytest.mark.fault(28)
@pytest.mark.parametrize("name", CASES)
async def test_what_others_have_is_not_there(scene: Scene, name: str) -> None:
    """Nor is it told from what nobody has; nothing is read of it, and nothing changed."""
    case, ann = CASES[name], scene.ann
    before = await scene.state()
    scene.recorder.asked.clear()
    nobody = Owner(ann.tenant[::-1], {}, ann.run_id.replace(ann.tenant, ann.tenant[::-1]))
    answers: list[list[Any]] = []
    for owner in (ann, nobody):
        by_id = await scene.ask(name, owner, scene.bob)
        by_name = await scene.ask(name, owner, scene.bob, tenant_id=owner.tenant)
        said = [_without(answer, owner) for answer in (by_id, by_name)]
        answers.append(said)
        if case.nothing is not None:
            assert by_id.status_code == 200
            assert by_id.json().items() >= case.nothing.items()
        elif name == "receiveEvents":
            assert by_id.json()["events"][0]["runs"] == []
        else:
            problem(by_id, *case.refusal)
        problem(by_name, *case.refusal)
        assert CANARY not in by_id.text + by_name.text
    assert answers[0] == answers[1]
    assert not [asked for asked in scene.recorder.asked if ann.tenant in asked]
    assert await scene.state() == before


@pytest.mark.fault(28)
async def test_reports_of_others_runs_are_not_taken(scene: Scene) -> None:
    """A token that may publish speaks for its own tenant; the run is not even looked for."""
    scene.recorder.asked.clear()
    data = {"run_id": scene.ann.run_id, "attempt": 1, "nonce": "0" * 32, "sequence": 1}
    report = {"type": "task.execution.updated", "data": data | {"status": "SUCCESS"}}
    answer = await scene.door.http.post("/internal/events", json=report, headers=scene.bob)
    problem(answer, 404, "NOT_FOUND")
    assert not [asked for asked in scene.recorder.asked if scene.ann.tenant in asked]


@pytest.mark.parametrize("name", sorted(EVERYBODY))
async def test_what_everybody_may_see_tells_of_no_tenant(scene: Scene, name: str) -> None:
    """Neither in counters nor in what is needed."""
    method, path = scene.operations[name]
    answer = await scene.door.http.request(method, path)
    assert answer.status_code == 200
    assert scene.ann.tenant not in answer.text
    assert CANARY not in answer.text


async def test_the_same_names_of_two_tenants_are_two_things(scene: Scene) -> None:
    """Who owns them can do all of it, which shows that the cases are real; others' stay as were."""
    before = await scene.state()
    carl = await _owner(scene.door, f"c{uuid4().hex[:10]}")
    for name in OF_TENANTS:
        answer: httpx.Response = await scene.ask(name, carl, carl.headers, tenant_id=carl.tenant)
        assert answer.is_success, (name, answer.text)
        assert scene.ann.tenant not in answer.text
    gone = await scene.ask("showTask", carl, carl.headers)
    problem(gone, 404, "NOT_FOUND")
    assert await scene.state() == before


def _without(answer: httpx.Response, owner: Owner) -> Any:
    """An answer, but for what was named by who asked, and for the time."""
    text = answer.text.replace(owner.tenant, "TENANT")
    text = re.sub(r'"(request_id)":"[^"]*"', "", text)
    return answer.status_code, re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", text)
