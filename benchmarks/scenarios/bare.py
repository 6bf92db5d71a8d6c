"""The least that Temporal asks for a call that survives crashes: one workflow, one activity.

It sends the request that a run of ours sends, signed as that is, reads the answer as JSON, and does
nothing else: no state, no search attributes, no summary, no heartbeats, no logs. A retry is
Temporal's own.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from benchmarks.scenarios.scenario import (
    BACK_OFF,
    FAILS_ONCE,
    PARAMS,
    PLUGIN,
    RETRIED,
    TENANT,
    Scenario,
)
from shared.plugin_secrets import PluginSecrets
from shared.webhooks import request_id, sign
from worker.build import new_worker

QUEUE = "bench-bare"
UNSANDBOXED_QUEUE = "bench-bare-unsandboxed"
TIMEOUT = timedelta(minutes=10)
TRACEPARENT = f"00-{'1' * 32}-{'1' * 16}-01"


@workflow.defn
class BareRun:
    """Hands its argument to the activity and gives back what that gives."""

    @workflow.run
    async def run(self, plugin: str, params: dict[str, Any]) -> Any:
        """The result of the plugin."""
        return await workflow.execute_activity(
            "bare_call",
            args=[plugin, params],
            start_to_close_timeout=TIMEOUT,
            retry_policy=RetryPolicy(initial_interval=BACK_OFF),
        )


class BareCall:
    """The activity, with the HTTP client that all its calls share."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, secrets: PluginSecrets) -> None:
        self._http = http
        self._url = base_url
        self._secrets = secrets

    @activity.defn(name="bare_call")
    async def call(self, plugin: str, params: dict[str, Any]) -> Any:
        """One POST; an answer other than 2xx is an error."""
        info = activity.info()
        now, key = datetime.now(UTC), str(info.workflow_id)
        body = json.dumps(
            {
                "run_id": key,
                "plugin_id": plugin,
                "attempt": info.attempt,
                "tenant_id": TENANT,
                "task_id": "bare",
                "params": params,
                "trigger": {"kind": "manual", "nominal_time": now.isoformat()},
                "deadline": (now + TIMEOUT).isoformat(),
                "fence": info.attempt,
            }
        ).encode()
        message_id = request_id("execute", plugin, key, str(info.attempt))
        response = await self._http.post(
            f"{self._url}/plugin/runtime/{plugin}/execute",
            content=body,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": key,
                "traceparent": TRACEPARENT,
                **sign(self._secrets(), message_id, body, now=now),
            },
        )
        return response.raise_for_status().json()


def build_workers(
    client: Client, http: httpx.AsyncClient, base_url: str, secrets: PluginSecrets
) -> list[Worker]:
    """Workers with the options of ours: one in the SDK's sandbox, as it comes, and one without.

    In the sandbox the workflow is loaded once for all runs, which is the cheapest that it can be.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules("benchmarks")
    runners = {QUEUE: SandboxedWorkflowRunner(restrictions=restrictions), UNSANDBOXED_QUEUE: None}
    return [
        new_worker(
            client,
            task_queue=queue,
            workflows=[BareRun],
            activities=[BareCall(http, base_url, secrets).call],
            runner=runner,
        )
        for queue, runner in runners.items()
    ]


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await _start_on(QUEUE, client, key)


async def _start_unsandboxed(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await _start_on(UNSANDBOXED_QUEUE, client, key)


async def _start_retried(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await _start_on(QUEUE, client, f"retried-{key}", RETRIED)


async def _start_on(
    queue: str, client: Client, key: str, plugin: str = PLUGIN
) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        BareRun.run,
        args=[plugin, PARAMS],
        id=f"run/{TENANT}/{queue}/{key}",
        task_queue=queue,
    )


SCENARIO = Scenario("bare", "bare workflow", _start)
UNSANDBOXED = Scenario("bare_unsandboxed", "bare, no sandbox", _start_unsandboxed)
BARE_RETRIED = Scenario(
    "bare_retried", "bare, retried", _start_retried, plugin=RETRIED, script=FAILS_ONCE
)
