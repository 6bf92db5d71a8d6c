"""A day in the life of some tasks, told by commands."""

import json
from dataclasses import dataclass
from typing import Any

from tests.codec.stack import CANARIES, Stack
from tests.starter.harness import eventually

REFERENCE = {"password": "secret://db-password"}
_NEVER = {"cron": "0 0 1 1 *"}
TENANTS = [{"tenant_id": "acme", "quota": {"max_concurrent": 5}, "mutex_groups": {"m": 1}}]
TASKS: list[dict[str, Any]] = [
    {
        "task_id": "good",
        "plugin_id": "echo",
        "description": CANARIES["param"],
        "triggers": [_NEVER],
        "params": {"canary": CANARIES["param"], "db": [REFERENCE]},
        "mutex": ["m"],
        "timeout": "5s",
    },
    {
        "task_id": "bad",
        "plugin_id": "broken",
        "triggers": [_NEVER],
        "params": {"canary": CANARIES["param"], **REFERENCE},
        "retry": {"max_attempts": 2, "initial_interval": "200ms"},
        "compensation": {
            "plugin_id": "echo",
            "params": {"undo": CANARIES["param"], **REFERENCE},
        },
        "work_order": "both",
        "sla": {"start_within": "1m", "finish_within": "30m"},
    },
    {
        "task_id": "open",
        "plugin_id": "later",
        "triggers": [_NEVER],
        "params": {"canary": CANARIES["param"], **REFERENCE},
        "timeout": "10m",
    },
    {
        "task_id": "heard",
        "plugin_id": "echo",
        "triggers": [{"event": "order.created", "filter": "data.amount > 100"}],
        "params": REFERENCE,
    },
]


@dataclass(frozen=True, slots=True)
class Story:
    """What the commands said: documents of `--json`, or what people see."""

    planned: Any
    applied: Any
    replanned: Any
    listed: Any
    shown: Any
    good: Any
    bad: Any
    why: str
    orders: Any
    order: str
    retried: Any
    held: Any
    progress: str
    received: list[Any]
    statuses: dict[str, str]
    after: Any


def live(stack: Stack) -> Story:
    """Everything once, in order."""
    cli = stack.cli
    file = cli.file("tasks.json", json.dumps({"tenants": TENANTS, "tasks": TASKS}))
    planned, applied = cli.json("plan", file), cli.json("apply", file)
    cli.ok("apply", "-", stdin=json.dumps({"tasks": [_soon()]}))
    payload = json.dumps({"shop": CANARIES["payload"]})
    good = cli.json("trigger", "good", "--payload", payload, "--wait")
    bad = json.loads(cli.run("trigger", "bad", "--payload", payload, "--wait", "--json").out)
    orders = eventually(lambda: cli.json("work-orders", "list")["work_orders"])
    order = cli.ok("work-orders", "show", orders[0]["work_order_id"])
    retried = cli.json("work-orders", "retry", orders[0]["work_order_id"])
    cli.json("trigger", "open", "--payload", payload)
    progress, held = _progress(stack)
    received = [
        _event(stack, number, {"canary": CANARIES["event"], "amount": amount})
        for number, amount in enumerate((200, CANARIES["event"]))
    ]
    statuses = eventually(lambda: _ended(stack), within=60)
    return Story(
        planned=planned,
        applied=applied,
        replanned=cli.json("plan", file),
        listed=cli.json("list"),
        shown=cli.json("show", "good"),
        good=good,
        bad=bad,
        why=cli.ok("why", "bad"),
        orders=orders,
        order=order,
        retried=retried,
        held=held,
        progress=progress,
        received=received,
        statuses=statuses,
        after=cli.json("apply", file),
    )


def _soon() -> dict[str, Any]:
    """A task that its schedule fires while the rest of the story goes on."""
    params = {"canary": CANARIES["param"], **REFERENCE}
    return {
        "task_id": "soon",
        "plugin_id": "echo",
        "triggers": [{"every": "10s"}],
        "params": params,
    }


def _ended(stack: Stack) -> dict[str, str]:
    """The status of each task's newest run, once all have ended."""
    newest = {run["task_id"]: run for run in reversed(stack.cli.json("runs")["runs"])}
    over = [run["ended_at"] for run in newest.values()]
    return (
        {k: run["status"] for k, run in newest.items()}
        if len(over) == len(TASKS) + 1 and all(over)
        else {}
    )


def _event(stack: Stack, number: int, data: Any) -> Any:
    """Tell the API of an event."""
    event = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order.created"}
    answer = stack.api.post(
        "/internal/events", params={"tenant_id": "acme"}, json={**event, "data": data}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["events"][0]


def _progress(stack: Stack) -> tuple[str, Any]:
    """What `show` tells of the accepted execution, and `pause` of it; then it ends well."""
    call = stack.plugin.called("open")
    told = {"got": call["params"], "canary": CANARIES["progress"]}
    report(stack, call, sequence=1, status="RUNNING", progress=told, message="half way")
    shown = eventually(lambda: _when("half way", stack.cli.ok("show", "open")))
    held = stack.cli.json("pause", "open", "--running", "--reason", "wait a moment")
    stack.cli.ok("resume", "open", "--running")
    report(stack, call, sequence=2, status="SUCCESS", result=told)
    return shown, held


def _when(word: str, text: str) -> str:
    return text if word in text else ""


def report(stack: Stack, call: dict[str, Any], **said: Any) -> None:
    """Report to the API, as a plugin does."""
    known = {name: call[name] for name in ("run_id", "attempt", "nonce")}
    event = {
        "specversion": "1.0",
        "id": f"{call['run_id']}/{said['sequence']}",
        "source": "/plugins/later",
        "type": "task.execution.updated",
        "data": known | said,
    }
    answer = stack.api.post("/internal/events", params={"tenant_id": "acme"}, json=event)
    assert answer.status_code == 200, answer.text
