"""Commands, workers and the API with encryption on: each says what it says without."""

import base64
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType

from domain.attributes import WATCH
from domain.ids import WATCH_ID
from shared.codec import KEY_ID
from tests.codec.stack import CANARIES, TENANT, UI, Stack
from tests.codec.story import REFERENCE, TASKS, Story
from tests.starter.harness import Cli

MASKED = '"[secret://db-password]"'


def test_tasks_are_registered_and_found_unchanged(story: Story) -> None:
    """A plan reads what every schedule carries, which is encrypted there."""
    assert len(story.planned["created"]) == len(story.applied["created"]) == len(TASKS)
    for plan in (story.replanned, story.after):
        assert (plan["unchanged"], plan["created"], plan["updated"]) == (
            len(TASKS),
            [],
            [],
        )
    listed = {task["task_id"] for task in story.listed["tasks"]}
    assert listed == {"good", "bad", "open", "heard", "soon"}
    assert story.shown["task"]["params"] == {"canary": CANARIES["param"], "db": [REFERENCE]}


def test_plugins_get_the_values_and_commands_show_references(
    story: Story, encrypted: Stack
) -> None:
    """Of a run under a lock, of one that an event made, of retries and of what undoes them."""
    value = {"password": CANARIES["secret"]}
    for call in encrypted.plugin.calls:
        params = call["params"]
        given = params["db"][0] if call["task_id"] == "good" else params
        assert given | value == given
    called = {call["task_id"] for call in encrypted.plugin.calls}
    assert called >= {"good", "bad", "open", "heard", "soon"}
    assert any(call["compensates"] for call in encrypted.plugin.calls)
    assert story.statuses == {
        "good": "SUCCESS",
        "bad": "COMPENSATED",
        "open": "SUCCESS",
        "heard": "SUCCESS",
        "soon": "SUCCESS",
    }
    assert MASKED in story.progress


def test_failures_are_told_in_full(story: Story) -> None:
    """Reason, work order and `why` have the plugin's own words, which Temporal has not."""
    assert (story.bad["status"], story.bad["error_code"]) == ("COMPENSATED", "BROKEN")
    for told in (story.bad["reason"], story.why, " ".join(story.order.split())):
        assert CANARIES["message"] in told
        assert "secret://db-password" in told
        assert CANARIES["secret"] not in told
    assert len(story.retried["attempts"]) == 2
    assert story.retried["status"] == "RETRYING"


def test_open_runs_are_shown_and_held(story: Story) -> None:
    """What the plugin reported is read from heartbeats, the hold from a signal."""
    assert CANARIES["progress"] in story.progress
    assert len(story.held["runs"]) == 1


def test_events_make_runs(story: Story) -> None:
    """The rule of a task is read from its registry; a filter that cannot say fails for itself."""
    first, second = story.received
    assert [run["task_id"] for run in first["runs"]] == ["heard"]
    assert (second["runs"], len(second["failed_filters"])) == ([], 1)


def test_a_plan_names_secrets_that_cannot_be_read_from_here(encrypted: Stack) -> None:
    """A warning and no refusal: it is the workers that need them."""
    task = {"task_id": "t", "plugin_id": "echo", "triggers": [{"cron": "0 0 1 1 *"}]}
    names = {"here": "secret://db-password", "elsewhere": "secret://api-key"}
    text = json.dumps({"tasks": [task | {"params": names}]})
    assert encrypted.cli.json("plan", "-", stdin=text)["warnings"] == [
        "acme/t: secret://api-key cannot be read from here; workers look for it when they call the "
        "plugin"
    ]
    elsewhere = Cli(encrypted.folder, dict(encrypted.cli.environment))
    del elsewhere.environment["TASKFLOW_SECRETS_DIR"]
    assert elsewhere.json("plan", "-", stdin=text)["warnings"] == []


async def test_the_watch_reads_registries_and_schedules(story: Story, encrypted: Stack) -> None:
    """It looked since the worker started, and `doctor` reads what it found."""
    [newest] = [
        run async for run in encrypted.client.list_workflows(f"WorkflowType = '{WATCH}'", limit=1)
    ]
    assert newest.id.startswith(WATCH_ID)
    checks = encrypted.cli.run("doctor", "--json").document["checks"]
    [watch] = [check for check in checks if check["name"] == "watch"]
    assert watch["ok"], watch


def test_a_process_without_keys_says_what_it_lacks(story: Story, encrypted: Stack) -> None:
    """In words, and not as an error of encodings."""
    for command in ("show good", "runs"):
        ended = encrypted.unkeyed.run(*command.split())
        assert ended.code == 1
        assert "set TASKFLOW_CODEC_KEYS_FILE" in ended.err


async def _started(stack: Stack, run_id: str) -> Payload:
    async for event in stack.client.get_workflow_handle(run_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            return event.workflow_execution_started_event_attributes.input.payloads[0]
    raise AssertionError("it has not started")


def _as_json(payload: Payload) -> dict[str, Any]:
    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    metadata = {name: text(value) for name, value in payload.metadata.items()}
    return {"metadata": metadata, "data": text(payload.data)}


async def test_the_web_ui_decodes_by_the_api(story: Story, encrypted: Stack) -> None:
    """As it asks: JSON of protobuf there and back, for its own origin, in its namespace."""
    payload = await _started(encrypted, story.good["run_id"])
    headers = {"X-Namespace": "default", "Origin": UI}
    asked = {"payloads": [_as_json(payload)]}
    decoded = encrypted.api.post("/codec/decode", json=asked, headers=headers)
    assert decoded.status_code == 200, decoded.text
    assert decoded.headers["access-control-allow-origin"] == UI
    assert decoded.headers["cache-control"] == "no-store"
    [plain] = decoded.json()["payloads"]
    data = json.loads(base64.b64decode(plain["data"]))
    assert data["task"]["params"]["canary"] == CANARIES["param"]
    assert data["task"]["params"]["db"] == [REFERENCE]

    encoded = encrypted.api.post("/codec/encode", json=decoded.json(), headers=headers).json()
    [again] = encoded["payloads"]
    assert base64.b64decode(again["metadata"][KEY_ID]) == b"k1"
    assert encrypted.api.post("/codec/decode", json=encoded).json() == decoded.json()


def test_a_browser_may_use_the_codec_from_one_origin(encrypted: Stack) -> None:
    """And no other route; what it asks beforehand is answered without knowing who asks."""

    def asked(path: str, origin: str) -> str | None:
        answer = encrypted.api.options(
            path,
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
            },
        )
        allowed: str | None = answer.headers.get("access-control-allow-origin")
        return allowed

    assert asked("/codec/decode", UI) == UI
    assert asked("/codec/decode", "http://127.0.0.1:9999") is None
    assert asked("/internal/events", UI) is None


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"payloads": 7}, {}, 422),
        ([], {}, 422),
        ({"payloads": [{"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA=="}}]}, {}, 422),
        ({"payloads": []}, {"X-Namespace": "other"}, 404),
        ({}, {}, 200),
    ],
)
def test_the_codec_refuses_what_it_cannot_read(
    encrypted: Stack, body: object, headers: dict[str, str], status: int
) -> None:
    """With a problem document, and never a 500."""
    answer = encrypted.api.post("/codec/decode", json=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_what_was_registered_before_encryption_goes_on(story: Story, encrypted: Stack) -> None:
    """A worker with keys reads what has none, and whoever applies the file again encrypts it."""
    task: dict[str, Any] = {"tenant_id": f"{TENANT}-before", "task_id": "old", "plugin_id": "echo"}
    task |= {"triggers": [{"cron": "0 0 1 1 *"}], "params": {"canary": "canary-before-8b1e"}}
    text = json.dumps({"tasks": [task]})
    encrypted.unkeyed.ok("apply", "-", stdin=text)
    assert b"canary-before-8b1e" in encrypted.kept()
    run = encrypted.cli.json("trigger", f"{TENANT}-before/old", "--wait")
    assert run["status"] == "SUCCESS"
    assert encrypted.cli.json("plan", "-", stdin=text)["unchanged"] == 1
