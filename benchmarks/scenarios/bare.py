"""The least that Temporal asks for a call that survives crashes: one workflow, one activity.

It sends the request that a run of ours sends, reads the answer as JSON, and does nothing else: no
state, no search attributes, no summary, no heartbeats, no logs.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from benchmarks.scenarios.scenario import PARAMS, PLUGIN, TENANT, Scenario
from worker.build import new_worker

QUEUE = "bench-bare"
TIMEOUT = timedelta(minutes=10)
TRACEPARENT = f"00-{'1' * 32}-{'1' * 16}-01"


@workflow.defn
class BareRun:
    """Hands its argument to the activity and gives back what that gives."""

    @workflow.run
    async def run(self, params: dict[str, Any]) -> Any:
        """The result of the plugin."""
        return await workflow.execute_activity("bare_call", params, start_to_close_timeout=TIMEOUT)


class BareCall:
    """The activity, with the HTTP client that all its calls share."""

    def __init__(self, http: httpx.AsyncClient, base_url: str) -> None:
        self._http = http
        self._url = f"{base_url}/plugin/runtime/{PLUGIN}/execute"

    @activity.defn(name="bare_call")
    async def call(self, params: dict[str, Any]) -> Any:
        """One POST; an answer other than 2xx is an error."""
        info = activity.info()
        now = datetime.now(UTC)
        response = await self._http.post(
            self._url,
            json={
                "run_id": info.workflow_id,
                "attempt": info.attempt,
                "tenant_id": TENANT,
                "task_id": "bare",
                "params": params,
                "trigger": {"kind": "manual", "nominal_time": now.isoformat()},
                "deadline": (now + TIMEOUT).isoformat(),
                "fence": info.attempt,
            },
            headers={"Idempotency-Key": str(info.workflow_id), "traceparent": TRACEPARENT},
        )
        return response.raise_for_status().json()


def build_worker(client: Client, http: httpx.AsyncClient, base_url: str) -> Worker:
    """A worker with the options of ours. Its workflow, like ours, is loaded once for all runs."""
    return new_worker(
        client,
        task_queue=QUEUE,
        workflows=[BareRun],
        activities=[BareCall(http, base_url).call],
        pure=["benchmarks"],
    )


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        BareRun.run, PARAMS, id=f"run/{TENANT}/bare/{key}", task_queue=QUEUE
    )


SCENARIO = Scenario("bare", "bare workflow", _start)
