"""Calling a plugin: one HTTP request per attempt, with heartbeats and a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import httpx
import structlog
from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.answers import Accepted, Failure, Finished, read_answer
from activities.call import Call, Secrets
from activities.cancel import tell_to_stop
from activities.errors import failed
from activities.heartbeats import heartbeats
from domain.attributes import EXECUTE_PLUGIN
from domain.events_out import Published, RunChanges
from domain.executions import Progress
from domain.masking import NOTHING, Mask
from domain.references import secrets_in
from domain.run import ExecuteInput, ExecuteResult
from domain.states import RunState
from domain.task import Flags
from shared.secrets import SecretNotFound, Vault

log = structlog.get_logger(__name__)

MAX_REQUEST_BYTES = 256 * 1024
"""Of the body of a call: plugins get references to what is larger."""
MOST_BETWEEN_BEATS = 4.0
"""Seconds between heartbeats: a cancellation comes with the answer to one."""
PUBLISH_PATIENCE = 3.0
"""Seconds that an answer waits for state changes to be told; within what Temporal gives it."""

FlagsOf = Callable[[str], Flags]
"""The feature flags of a tenant, as they are now."""
Publish = Callable[[RunChanges], Awaitable[Published]]
"""Tells the outside of a run's state changes."""
OpenCall = Callable[[str], contextlib.AbstractContextManager[None]]


class Wait(Protocol):
    """A circuit that is open: when to ask again, since when and why it is so."""

    @property
    def retry_at(self) -> datetime:
        """When asking again makes sense."""

    @property
    def since(self) -> datetime:
        """When it opened."""

    @property
    def reason(self) -> str:
        """What opened it."""


class Breakers(Protocol):
    """Knows which plugins are fit to be called, and learns from every call."""

    async def admit(self, plugin_id: str, key: str, attempt: int) -> Wait | None:
        """None when the call may be made; quick, also when nobody can decide."""

    def record(
        self, plugin_id: str, tenant_id: str, error_code: str | None, probe: bool = False
    ) -> None:
        """What became of a call that was admitted; whether it was a probe is known by its task."""


class PluginActivities:
    """The activities that reach plugin runtimes; one instance per worker, safe to share.

    `publish` tells of state changes while the plugin works; without it they stay untold. `secrets`
    sign the calls; without any they go unsigned. `vault`: where the secrets are that params name,
    in the environment alone if None. `open_call` is held while a call of a plugin is open.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        flags_of: FlagsOf,
        *,
        publish: Publish | None = None,
        breakers: Breakers | None = None,
        secrets: Secrets = tuple,
        vault: Vault | None = None,
        open_call: OpenCall = lambda plugin_id: contextlib.nullcontext(),
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._flags_of = flags_of
        self._publish = publish
        self._breakers = breakers
        self._secrets = secrets
        self._vault = vault or Vault()
        self._open_call = open_call

    @activity.defn(name=EXECUTE_PLUGIN)
    async def execute_plugin(self, request: ExecuteInput) -> ExecuteResult:
        """One attempt; when the plugin accepts it, it stays open for the plugin's report.

        Errors: `ApplicationError` whose type is the error code, with `AttemptDetails`; not
        retryable when the failure is final or `task-retry-queue` is off.
        """
        call = Call(request, activity.info(), datetime.now(UTC))
        flags = self._flags_of(request.tenant_id)
        if not flags.task_scheduler_v3:
            return ExecuteResult(
                status=RunState.SKIPPED,
                attempt=call.attempt,
                reason="the feature flag task-scheduler-v3 is off",
            )
        with self._open_call(request.plugin_id):
            async with _beating(call.info):
                answer, published = await self._answer(call)
        if isinstance(answer, Finished):
            return ExecuteResult(
                status=RunState.SUCCESS,
                attempt=call.attempt,
                result=answer.result,
                published=published,
            )
        if isinstance(answer, Failure):
            raise failed(
                answer,
                attempt=call.attempt,
                retries=flags.task_retry_queue,
                published=published,
                counted=request.attempt > 0,
            )
        if call.waits:
            await self._store_acceptance(call, published, retries=flags.task_retry_queue)
            activity.raise_complete_async()
        return ExecuteResult(
            status=RunState.RUNNING, attempt=call.attempt, accepted=True, published=published
        )

    async def _answer(self, call: Call) -> tuple[Finished | Accepted | Failure, Published | None]:
        """The plugin's answer, and what became of the state changes meanwhile."""
        publishing = self._start_publishing(call)
        try:
            answer = await self._admitted(call)
            _log_attempt(call, answer)
            if publishing is None:
                return answer, None
            await asyncio.wait([publishing], timeout=PUBLISH_PATIENCE)
            return answer, publishing.result() if publishing.done() else None
        except asyncio.CancelledError:
            if _is_stopping():
                message = "the worker was stopped before the plugin had answered"
                return Failure("WORKER_LOST", message), None
            raise
        finally:
            if publishing:
                publishing.cancel()

    def _start_publishing(self, call: Call) -> "asyncio.Task[Published | None] | None":
        changes, publish = call.request.changes, self._publish
        if changes is None or publish is None:
            return None

        async def told() -> Published | None:
            try:
                return await publish(changes)
            except Exception as error:  # noqa: BLE001 - the run tells them again; see ExecuteResult
                reason = str(error) or type(error).__name__
                log.warning("not told", action="publish_failed", reason=reason, **call.line())
                return None

        return asyncio.create_task(told())

    async def _admitted(self, call: Call) -> Finished | Accepted | Failure:
        """Call the plugin, unless its circuit is open."""
        plugin_id, breakers = call.request.plugin_id, self._breakers
        try:
            params, mask = await self._vault.open(call.request.tenant_id, call.request.params)
        except SecretNotFound as error:  # retryable: what is mounted may come late
            return Failure("SECRET_NOT_FOUND", str(error))
        content = call.body(params)
        if len(content) > MAX_REQUEST_BYTES:
            message = (
                f"params and payload make a call of {len(content):,} bytes, and {MAX_REQUEST_BYTES}"
                " bytes are the limit: pass a reference instead"
            )
            return Failure("PARAMS_TOO_LARGE", message, retryable=False)
        if breakers is None:
            return await self._call(call, content, mask)
        if wait := await breakers.admit(plugin_id, call.key, call.attempt):
            since = wait.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            message = f"not called, because its circuit is open since {since}: {wait.reason}"
            delay = max(wait.retry_at - datetime.now(UTC), timedelta(milliseconds=1))
            return Failure("PLUGIN_CIRCUIT_OPEN", message, retry_after=delay, waits=True)
        answer = await self._call(call, content, mask)
        code = answer.code if isinstance(answer, Failure) else None
        breakers.record(plugin_id, call.request.tenant_id, code)
        return answer

    async def _call(self, call: Call, content: bytes, mask: Mask) -> Finished | Accepted | Failure:
        """The request and its whole answer, within the attempt's timeout."""
        timeout = call.request.timeout.total_seconds()
        try:
            async with (
                # One deadline for everything: httpx's own are per read, and an answer that drips
                # a byte a second would never meet them.
                asyncio.timeout(timeout),
                self._http.stream(
                    "POST",
                    f"{self._base_url}/plugin/runtime/{call.request.plugin_id}/execute",
                    content=content,
                    headers=call.headers(content, self._secrets()),
                ) as response,
            ):
                return await read_answer(response, now=datetime.now(UTC), mask=mask)
        except TimeoutError:
            return Failure("PLUGIN_TIMEOUT", f"the plugin did not answer within {timeout:g} s")
        except httpx.HTTPError as error:
            # The text may quote what came, in part and in ways that no mask knows.
            reason = (str(error) if mask is NOTHING else "") or type(error).__name__
            return Failure("PLUGIN_UNAVAILABLE", f"the call to the plugin broke: {reason}")

    async def _store_acceptance(
        self, call: Call, published: Published | None, *, retries: bool
    ) -> None:
        """What reports are measured by; without it they are still taken, by their nonce alone."""
        progress = Progress(
            attempt=call.attempt,
            compensates=call.request.compensates,
            accepted_at=datetime.now(UTC),
            retries=retries,
            published=published,
            secrets=tuple(sorted(secrets_in(call.request.params))),
        )
        # By the client and not by `activity.heartbeat`: that one may be held back and, once this
        # activity is left to the plugin, forgotten.
        handle = activity.client().get_async_activity_handle(task_token=call.info.task_token)
        try:
            await handle.heartbeat(progress)
        except AsyncActivityCancelledError as error:
            if not (error.details and error.details.cancel_requested):
                return
            # Cancelled while it was being accepted: whoever cancels may have come too early.
            with contextlib.suppress(ApplicationError):
                await tell_to_stop(
                    self._http,
                    self._base_url,
                    plugin_id=call.request.plugin_id,
                    key=call.key,
                    parent=call.parent,
                    secrets=self._secrets(),
                )
            with contextlib.suppress(RPCError):
                await handle.report_cancellation()
        except RPCError as error:  # the plugin has reported its end already, or Temporal is busy
            reason = error.message
            log.info("not stored", action="acceptance_not_stored", reason=reason, **call.line())


@contextlib.asynccontextmanager
async def _beating(info: activity.Info) -> AsyncIterator[None]:
    """Heartbeats, as often as silence is to mean a lost worker; a local activity has none."""
    if info.is_local:
        yield
        return
    timeout = info.heartbeat_timeout or timedelta(seconds=30)
    async with heartbeats(min(timeout.total_seconds() / 3, MOST_BETWEEN_BEATS)):
        yield


def _is_stopping() -> bool:
    """Whether the cancellation is that of a worker whose grace is over, and not the run's."""
    details = activity.cancellation_details()
    return activity.is_worker_shutdown() and not (details and details.cancel_requested)


def _log_attempt(call: Call, answer: Finished | Accepted | Failure) -> None:
    failed, accepted = isinstance(answer, Failure), isinstance(answer, Accepted)
    status = RunState.FAILED if failed else RunState.SUCCESS
    if accepted:
        status = RunState.RUNNING
    log.info(
        "attempt accepted" if accepted else "attempt ended",
        action="attempt_accepted" if accepted else "attempt_ended",
        **call.line()
        | {
            "duration_ms": round((datetime.now(UTC) - call.started) / timedelta(milliseconds=1)),
            "status": status,
            "error_code": answer.code if isinstance(answer, Failure) else None,
        },
    )
