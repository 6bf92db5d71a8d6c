"""What plugins report about executions that they accepted: measured, then told to Temporal."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Literal
from weakref import WeakValueDictionary

import structlog
from temporalio.client import (
    AsyncActivityCancelledError,
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError

from activities.answers import MOST_CODE, MOST_MESSAGE, Answer, Failure, judged
from activities.errors import failed
from domain.executions import ExecutionReport, Progress, nonce_of, run_of_key
from domain.ids import parse_run_id
from domain.masking import Mask
from domain.run import ExecuteResult
from domain.states import RunState
from shared.calls import is_missing
from shared.errors import Conflict, NotFound, Refused
from shared.executions import OpenExecution, open_execution
from shared.secrets import SecretNotFound, Vault
from shared.settings import get_settings
from starter.rpc import temporal_errors

log = structlog.get_logger(__name__)

MAX_PROGRESS_BYTES = 16 * 1024
"""Of the progress in a report: Temporal keeps it with the open attempt."""
PAUSES = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Seconds between looks for an acceptance: a quick plugin may report before it is stored."""

WITHHELD = (
    "what the plugin reported is withheld, because the process that took the report cannot see the "
    "secrets that it was given"
)
ALREADY_ENDED = "ALREADY_ENDED"
OLD_ATTEMPT = "OLD_ATTEMPT"


@dataclass(frozen=True, slots=True)
class Reported:
    """What became of a report that was taken.

    `duplicate`: a newer one, or this one, came before, and nothing was changed.
    `cancel_requested`: nobody wants the execution any more; the plugin should stop.
    """

    duplicate: bool = False
    cancel_requested: bool = False


_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""One for each run that something is reported about just now: its reports come one by one."""


async def report(
    client: Client,
    tenant_id: str | None,
    report: ExecutionReport,
    *,
    vault: Vault | None = None,
) -> Reported:
    """Take a report. `tenant_id` None is whoever may speak for every tenant.

    A final report ends the attempt at once, for good and only once. What it gives away of secrets
    in `vault`, which is where the settings say if None, is taken out of it.
    Errors: `NotFound` for what is no open secret of this tenant, `Conflict` with `ALREADY_ENDED` or
    `OLD_ATTEMPT` for what came too late, `Refused` for progress that is too large, or no text.
    """
    _check(report)
    run_id, compensates = run_of_key(report.run_id)
    parsed = parse_run_id(run_id)
    if parsed is None or (tenant_id and parsed.tenant_id != tenant_id):
        raise NotFound(_unknown(report))
    vault = vault or Vault.of(get_settings())
    try:
        return await _report(client, run_id, report, vault)
    except NotFound:
        if not compensates:
            raise
    return await _report(client, report.run_id, report, vault)  # a run by hand may be called so


async def _report(client: Client, run_id: str, report: ExecutionReport, vault: Vault) -> Reported:
    lock = _locks.setdefault(run_id, asyncio.Lock())
    for pause in (*PAUSES, None):
        async with lock:
            taken = await _take(client, run_id, report, vault, waits=pause is not None)
        if taken is not None:
            return taken
        await asyncio.sleep(pause or 0)
    raise _late(report, OLD_ATTEMPT)


async def progress_of(client: Client, run_id: str) -> Progress | None:
    """How far an open run's execution is, as its plugin told; None when there is none or no word.

    Errors: `NotFound` for a run that does not exist.
    """
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    with temporal_errors(missing=missing):
        description = await client.get_workflow_handle(run_id).describe()
        return await progress_in(client, description)


async def progress_in(client: Client, description: WorkflowExecutionDescription) -> Progress | None:
    """The same of a run that was described already. Errors: `RPCError`."""
    found = await open_execution(client, description, sure=False)
    return found.progress if found and found.accepted else None


def progress_text(progress: Progress, accepted_at: str | None = None) -> str:
    """One sentence; `accepted_at` is the time as the reader's clock shows it."""
    at = progress.accepted_at
    when = accepted_at or (f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else None)
    text = f"the plugin accepted it at {when}" if when else "the plugin accepted it"
    if progress.progress is None and not progress.message:
        return f"{text}; no progress reported yet" if progress.sequence < 0 else text
    said = [] if progress.progress is None else [json.dumps(progress.progress, ensure_ascii=False)]
    said += [progress.message] if progress.message else []
    return f"{text}; progress: {', '.join(said)}"


async def _take(
    client: Client, run_id: str, report: ExecutionReport, vault: Vault, *, waits: bool
) -> Reported | None:
    """One look and what follows from it; None when `waits` and it may soon look otherwise."""
    with temporal_errors(missing=_unknown(report)):
        description = await client.get_workflow_handle(run_id).describe()
        expected = nonce_of(description.run_id, report.run_id, report.attempt)
        # Nothing of the run is told to whoever did not get this attempt.
        if not compare_digest(expected.encode(), report.nonce.encode()):
            raise NotFound(_unknown(report))
        if description.status is not WorkflowExecutionStatus.RUNNING:
            raise _late(report, ALREADY_ENDED)
        found = await open_execution(client, description)
    if found is None:  # between two attempts, or before the call that waits for reports
        return None
    if found.compensates != (report.run_id != run_id) or report.attempt < found.attempt:
        raise _late(report, OLD_ATTEMPT)
    if report.attempt > found.attempt:
        raise NotFound(_unknown(report))
    if waits and not found.accepted:
        return None
    if found.progress and report.sequence <= found.progress.sequence:
        return Reported(duplicate=True, cancel_requested=found.cancel_requested)
    try:
        return await _tell(client, found, await _without_secrets(found, report, vault))
    except RPCError as error:
        if not is_missing(error):
            with temporal_errors():
                raise
    return None  # it has just ended: the next look says how


async def _tell(client: Client, found: OpenExecution, report: ExecutionReport) -> Reported:
    """Errors: `RPCError`, among them that the attempt has ended meanwhile."""
    handle = found.handle(client)
    known = found.progress or Progress(
        attempt=found.attempt,
        compensates=found.compensates,
        accepted_at=datetime.now(UTC),
        secrets=tuple(sorted(found.secrets)),
    )
    if report.status == "RUNNING":
        newest = known.model_copy(
            update={
                "accepted": True,
                "sequence": report.sequence,
                "progress": report.progress,
                "message": report.message,
            }
        )
        try:
            await handle.heartbeat(newest)
        except AsyncActivityCancelledError as error:
            cancelled = bool(error.details and error.details.cancel_requested)
            return Reported(cancel_requested=cancelled)
        return Reported(cancel_requested=found.cancel_requested)
    answer = judged(_answer(report.status, report))
    if isinstance(answer, Failure):
        failure = failed(
            answer, attempt=found.attempt, retries=known.retries, published=known.published
        )
        await handle.fail(failure)
    else:
        result = ExecuteResult(
            status=RunState.SUCCESS,
            attempt=found.attempt,
            result=answer.result,
            published=known.published,
        )
        await handle.complete(result)
    return Reported(cancel_requested=found.cancel_requested)


async def _without_secrets(
    found: OpenExecution, report: ExecutionReport, vault: Vault
) -> ExecutionReport:
    """The report with references for the values that the plugin was given.

    Where this process cannot see one, it cannot know what gives it away: nothing is kept then.
    """
    run = parse_run_id(found.run_id)
    if run is None or not found.secrets:
        return report
    try:
        mask = Mask(await vault.read(run.tenant_id, found.secrets))
    except SecretNotFound as error:
        log.warning(
            "what a plugin reported is withheld",
            action="report_withheld",
            run_id=found.run_id,
            tenant_id=run.tenant_id,
            task_id=run.task_id,
            reason=str(error),
        )
        said = {"progress": None, "result": None, "message": WITHHELD}
        return report.model_copy(update=said)
    masked = {
        "progress": mask.json(report.progress),
        "result": mask.json(report.result),
        # A reference may be longer than what it stands for.
        "message": report.message and mask.text(report.message)[:MOST_MESSAGE],
        "error_code": report.error_code and mask.text(report.error_code)[:MOST_CODE],
    }
    return report.model_copy(update=masked)


def _answer(status: Literal["SUCCESS", "FAILED"], report: ExecutionReport) -> Answer:
    """A final report says what the answer to a call would have said."""
    return Answer(
        status=status,
        result=report.result,
        error_code=report.error_code,
        message=report.message,
        retryable=report.retryable,
    )


def _check(report: ExecutionReport) -> None:
    """Errors: `Refused` for what Temporal could not keep."""
    try:
        report.model_dump_json()
        size = len(json.dumps(report.progress, ensure_ascii=False).encode())
    except ValueError as error:
        raise Refused(f"the report is not valid Unicode: {str(error)[:200]}") from error
    if size > MAX_PROGRESS_BYTES:
        raise Refused(
            f"the progress is larger than {MAX_PROGRESS_BYTES} bytes: report a summary of it"
        )


def _unknown(report: ExecutionReport) -> str:
    return (
        f"there is no execution {report.run_id!r} with this attempt and nonce: "
        "report with those of the execute call"
    )


def _late(report: ExecutionReport, code: str) -> Conflict:
    what = (
        f"the run {report.run_id!r} has ended"
        if code == ALREADY_ENDED
        else f"attempt {report.attempt} of {report.run_id!r} is over"
    )
    return Conflict(f"{what}: nothing was changed by this report", code)
