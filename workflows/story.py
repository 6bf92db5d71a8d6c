"""A run told in a few lines of Markdown, for Temporal's Web UI and `taskflow show`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.notices import FailedAttempt
from domain.run import Fire, TriggerKind
from domain.sla import SlaClock
from domain.states import STATES, RunState, is_end
from domain.task import Task
from workflows.outcome import Outcome

MOST_FAILURES = 5
MOST_SAID = 200


def tell(
    task: Task,
    fire: Fire,
    state: RunState,
    *,
    started: datetime,
    outcome: Outcome | None,
    waiting: str | None,
    now: datetime,
    failures: Sequence[FailedAttempt] = (),
    clock: SlaClock | None = None,
) -> str:
    """The run's current details: state first, then why, when and what."""
    lines = [f"**{state}** - {STATES[state].meaning}", ""]  # a list needs a blank line before it
    if outcome and outcome.reason:
        code = f"`{outcome.error_code}`: " if outcome.error_code else ""
        lines.append(f"- why: {code}{outcome.reason}")
    if waiting:
        lines.append(f"- waits: {waiting}")
    lines += [
        f"- task: `{task.tenant_id}/{task.task_id}`, plugin `{task.plugin_id}`",
        f"- trigger: {fire.kind}, nominal time {utc(fire.nominal_time)}",
    ]
    lines += _event(fire)
    failed = [_failed(failure) for failure in failures[-MOST_FAILURES:]]
    if clock and not outcome:
        lines.append(f"- SLA: starts by {utc(clock.start_by)}, ends by {utc(clock.finish_by)}")
    if waiting:
        lines += [f"- due: {utc(fire.trigger_time)}", *failed]
        return "\n".join(lines)
    if outcome and not outcome.attempts:
        lines.append(f"- recorded: {utc(now)}; its plugin was not called")
        return "\n".join(lines)
    lines.append(f"- started: {utc(started)}{_late(started - fire.trigger_time)}")
    lines += failed
    if outcome and is_end(state):
        seconds = (now - started).total_seconds()
        attempts = "1 attempt" if outcome.attempts == 1 else f"{outcome.attempts} attempts"
        lines.append(f"- ended: {utc(now)}, after {seconds:.1f} s and {attempts}")
    return "\n".join(lines)


def _event(fire: Fire) -> list[str]:
    """Which event the run is of."""
    event = fire.payload
    if fire.kind is not TriggerKind.EVENT or not isinstance(event, dict):
        return []
    named = (str(event.get(name, ""))[:MOST_SAID] for name in ("type", "id", "source"))
    return ["- event: `{}`, id `{}`, from `{}`".format(*named)]


def _failed(failure: FailedAttempt) -> str:
    what = "compensation, attempt" if failure.compensation else "attempt"
    text = f"`{failure.error_code}`: {failure.message[:MOST_SAID]}"
    return f"- {what} {failure.attempt} failed at {utc(failure.at)}: {text}"


def utc(at: datetime) -> str:
    """A time as people read it."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _late(delay: timedelta) -> str:
    return f", {delay.total_seconds():.1f} s after its time" if delay > timedelta(seconds=1) else ""
