"""Why a run waits, runs or ended so; why a fire made no run; what becomes of the next one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, ScheduleDescription
from temporalio.service import RPCError

from domain.blackout import judge
from domain.decisions import Queued
from domain.due import Due, due_times
from domain.expected import expected_start
from domain.ids import registry_id, scheduled_run_id
from domain.ledger_state import ledger_of
from domain.limits import is_governed, skips_in_temporal
from domain.registry import Snapshot, shard_of, unpack_task
from domain.run import TaskRunInput
from domain.states import STATES, RunState
from domain.task import Task
from domain.watch import GRACE
from shared.calls import is_missing
from shared.durations import learn_durations
from shared.errors import TaskflowError
from shared.governor import view_governor
from shared.registry import read_shard
from shared.schedules import namespace_id_of, seed_of
from starter.control import describe_request
from starter.forecast import make_forecast
from starter.rpc import temporal_errors
from starter.runs import RunView, list_runs, view_of
from starter.times import rfc3339

JUDGED_AFTER = timedelta(minutes=2)
"""By then the watch has looked at every fire."""
LOOKED_AT = 5
FORESEEN = timedelta(hours=24)
"""A fire further ahead is told without what may keep it waiting."""
_SECOND = timedelta(seconds=1)


@dataclass(slots=True)
class Why:
    """An answer: a verdict in a word, and the sentences that explain it."""

    tenant_id: str
    task_id: str
    verdict: str
    at: datetime | None = None
    run_id: str | None = None
    because: list[str] = field(default_factory=list)
    holder: str | None = None
    position: int | None = None
    expected_start: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The document of `why`."""
        return {
            "tenant_id": self.tenant_id,
            "task_id": self.task_id,
            "at": rfc3339(self.at),
            "run_id": self.run_id,
            "verdict": self.verdict,
            "because": self.because,
            "holder": self.holder,
            "position": self.position,
            "expected_start": rfc3339(self.expected_start),
        }


async def explain(
    client: Client,
    tenant_id: str,
    task_id: str,
    *,
    at: datetime | None,
    now: datetime,
    task_queue: str,
) -> Why:
    """Why the fire at `at` became what it is; without `at`, the run under way, else the next fire.

    Errors: `NotFound` for a task that is not registered.
    """
    description, request = await describe_request(client, tenant_id, task_id)
    with temporal_errors():
        seed = seed_of(request.task, await namespace_id_of(client)) if request.task.jitter else None
    asking = _Asking(client, description, request, task_queue, seed, now)
    with temporal_errors():
        return await (asking.at(at) if at else asking.now_or_next())


@dataclass(frozen=True, slots=True)
class _Asking:
    client: Client
    description: ScheduleDescription
    request: TaskRunInput
    task_queue: str
    seed: str | None
    now: datetime

    @property
    def task(self) -> Task:
        return self.request.task

    def answer(self, verdict: str, at: datetime | None, *because: str) -> Why:
        return Why(self.task.tenant_id, self.task.task_id, verdict, at, because=list(because))

    async def now_or_next(self) -> Why:
        runs = await list_runs(
            self.client,
            tenant_id=self.task.tenant_id,
            task_id=self.task.task_id,
            limit=LOOKED_AT,
        )
        # A run that waits is what people ask about; one that runs comes next.
        open_runs = sorted(
            (run for run in runs if not run.ended), key=lambda run: run.status is RunState.RUNNING
        )
        if open_runs:
            return await self.run(open_runs[0])
        due = next(due_times(self.task, after=self.now, seed=self.seed), None)
        if due is None:
            answer = self.answer("never", None, "no trigger of the task ever fires again")
        else:
            answer = await self.future(due)
        if runs:
            last = runs[0]
            answer.because.append(f"its last run, {last.run_id}, ended {_ended(last)}")
        return answer

    async def at(self, at: datetime) -> Why:
        found = self.fire_at(at)
        if found is None:
            return self.no_fire(at)
        run = await self.run_of(found)
        if run:
            return await self.run(run)
        if found.trigger_time > self.now:
            return await self.future(found)
        return await self.absent(found)

    def fire_at(self, at: datetime) -> Due | None:
        """The fire whose nominal, scheduled or trigger time `at` is, to the second."""
        margin = self.task.jitter + self.task.stagger + 2 * _SECOND
        fires = due_times(self.task, after=at - margin, until=at + margin, seed=self.seed)
        wanted = at.replace(microsecond=0)
        return next(
            (
                due
                for due in fires
                if wanted
                in (
                    due.nominal_time,
                    due.scheduled_time,
                    due.trigger_time.replace(microsecond=0),
                )
            ),
            None,
        )

    async def run_of(self, due: Due) -> RunView | None:
        run_id = scheduled_run_id(self.task.tenant_id, self.task.task_id, due.scheduled_time)
        try:
            return await view_of(await self.client.get_workflow_handle(run_id).describe())
        except RPCError as error:
            if not is_missing(error):
                raise
            return None

    def no_fire(self, at: datetime) -> Why:
        answer = self.answer("no_fire", at, f"no trigger of the task fires at {_utc(at)}")
        following = next(due_times(self.task, after=at), None)
        before = list(islice(due_times(self.task, after=at - timedelta(days=8), until=at), 100_000))
        if before:
            answer.because.append(f"the fire before is at {_utc(before[-1].nominal_time)}")
        if following:
            answer.because.append(f"the next is at {_utc(following.nominal_time)}")
        return answer

    async def run(self, run: RunView) -> Why:
        """Of a run that there is."""
        answer = self.answer(run.status.lower(), run.nominal_time)
        answer.run_id = run.run_id
        if run.ended:
            answer.because.append(f"it ended {_ended(run)}")
            if run.actual_start and run.trigger_time:
                late = (run.actual_start - run.trigger_time) / _SECOND
                answer.because.append(
                    f"it was due at {_utc(run.trigger_time)} and started {late:.1f} s later"
                )
            elif run.actual_start is None:
                answer.because.append("its plugin was not called")
        elif run.status is RunState.QUEUED:
            answer.verdict = "waiting"
            await self.waiting(run, answer)
        elif run.status is RunState.PENDING:
            if run.trigger_time and run.trigger_time > self.now:
                answer.verdict = "put_off"
                answer.because += await self.told(run)
            else:
                text = "no worker has taken it up yet: `taskflow doctor` tells whether any polls"
                answer.because.append(text)
        else:
            await self.running(run, answer)
        return answer

    async def waiting(self, run: RunView, answer: Why) -> None:
        try:
            view = await view_governor(self.client, run.tenant_id)
        except RPCError:
            answer.because.append("its governor does not answer: is a worker running?")
            return
        decision = ledger_of(view.state).explain(run.run_id) if view else None
        if view is None or not isinstance(decision, Queued):
            answer.because += await self.told(run)
            return
        answer.position = decision.position
        answer.because += [blocker.sentence() for blocker in decision.blockers]
        answer.holder = next((r for b in decision.blockers for r in b.runs), None)
        for waiting in view.state.waiting:
            if waiting.run_id == run.run_id:
                until = datetime.fromtimestamp(waiting.deadline, UTC)
                answer.because.append(f"it waits until {_utc(until)} at most (queue_timeout)")
        durations = await learn_durations(self.client, [run.tenant_id])

        def lasts(task_id: str) -> float:
            found = durations.learned((run.tenant_id, task_id)) or durations.expected(self.task)
            return found.median_s

        start = expected_start(view.state, run.run_id, lasts, self.now.timestamp())
        if start:
            answer.expected_start = datetime.fromtimestamp(start, UTC)

    async def running(self, run: RunView, answer: Why) -> None:
        if run.actual_start:
            seconds = (self.now - run.actual_start) / _SECOND
            answer.because.append(f"its plugin is being called, for {seconds:.0f} s by now")
        described = await self.client.get_workflow_handle(run.run_id).describe()
        for pending in described.raw_description.pending_activities:
            if pending.last_failure.message:
                text = f"attempt {pending.attempt - 1} failed: {pending.last_failure.message}"
                answer.because.append(text)
        if run.reason:
            answer.because.append(run.reason)

    async def told(self, run: RunView) -> list[str]:
        """What the run itself tells in Temporal's Web UI."""
        handle = self.client.get_workflow_handle(run.run_id)
        try:
            found: WorkflowMetadata = await handle.query(
                "__temporal_workflow_metadata",
                result_type=WorkflowMetadata,
                rpc_timeout=timedelta(seconds=5),
            )
        except RPCError:
            return ["the run does not answer: is a worker running?"]
        lines = found.current_details.splitlines()
        return [line.removeprefix("- waits: ") for line in lines if line.startswith("- waits: ")]

    async def absent(self, due: Due) -> Why:
        """Of a fire in the past that has no run: the first rule that fits."""
        at, info = due.nominal_time, self.description.info
        answer = self.answer("not_made", at)
        if due.trigger_time < info.created_at:
            answer.because.append(f"the task was registered later, at {_utc(info.created_at)}")
        elif reason := await self.not_expected(due):
            answer.verdict = "not_expected"
            answer.because.append(reason)
        elif self.now - due.trigger_time < GRACE:
            answer.verdict = "due"
            answer.because.append("it is due just now: Temporal is about to start its run")
        elif self.now - due.trigger_time < JUDGED_AFTER:
            answer.because += [
                *await self.kept_out(due),
                "the watch runs or records within two minutes what has no run",
            ]
        else:
            answer.because += [
                *await self.kept_out(due),
                "there is no run of it: Temporal keeps ended runs for its retention only",
            ]
        return answer

    async def not_expected(self, due: Due) -> str | None:
        """What the registry remembers: paused then, or registered with other triggers."""
        workflow_id = registry_id(self.task.tenant_id, shard_of(self.task.task_id))
        try:
            snapshot: Snapshot = await read_shard(self.client, workflow_id)
        except RPCError:
            return None
        entry = snapshot.entries.get(self.task.task_id)
        if entry is None or not entry.stretches:
            return None
        at = due.trigger_time
        for stretch in entry.stretches:
            if stretch.since < at and (stretch.until is None or at <= stretch.until):
                if stretch.task and unpack_task(stretch.task).triggers != self.task.triggers:
                    return "the task had other triggers then"
                return None
        if at < entry.stretches[0].since:
            return (
                f"the task, as far as is remembered, fires since {_utc(entry.stretches[0].since)}"
            )
        return "the task was paused then"

    async def kept_out(self, due: Due) -> list[str]:
        if not skips_in_temporal(self.task, limited=self.request.limited):
            return []
        runs = await list_runs(
            self.client,
            tenant_id=self.task.tenant_id,
            task_id=self.task.task_id,
            limit=200,
        )
        return [
            f"overlap: {run.run_id} was still under way"
            for run in runs
            if run.actual_start
            and run.trigger_time
            and run.trigger_time < due.trigger_time
            and (run.ended_at is None or run.ended_at > due.trigger_time)
        ][:1]

    async def future(self, due: Due) -> Why:
        """Of a fire to come."""
        answer = self.answer("will_run", due.nominal_time)
        state = self.description.schedule.state
        if state.paused:
            answer.verdict = "paused"
            answer.because.append(state.note or "the task is paused")
            return answer
        verdict = judge(self.task, due.trigger_time)
        if verdict.skipped:
            answer.verdict = "will_skip"
            answer.because.append(verdict.reason or "a blackout")
            return answer
        answer.expected_start = verdict.at
        if verdict.reason:
            answer.verdict = "put_off"
            answer.because.append(verdict.reason)
        answer.because.append(f"it is due at {_utc(due.trigger_time)}")
        if is_governed(self.task, limited=self.request.limited):
            await self.foresee(due, answer)
        return answer

    async def foresee(self, due: Due, answer: Why) -> None:
        """What the forecast has for it."""
        ahead = due.trigger_time - self.now
        if ahead > FORESEEN:
            answer.because.append("that is too far ahead to tell what it may wait for")
            return
        hours = ahead / timedelta(hours=1) + 0.01
        try:
            forecast = await make_forecast(
                self.client,
                self.task.tenant_id,
                hours,
                self.now,
                task_queue=self.task_queue,
            )
        except TaskflowError as error:
            answer.because.append(f"what it may wait for is not known: {error}")
            return
        found = [
            conflict
            for conflict in forecast.conflicts
            if conflict.tasks[0] == self.task.task_id
            and abs(conflict.at - due.trigger_time) < _SECOND
        ]
        for conflict in found:
            answer.because.append(conflict.sentence())
            if conflict.outcome == "waits" and conflict.wait_s is not None:
                answer.verdict = "will_wait"
                answer.expected_start = conflict.at + timedelta(seconds=conflict.wait_s)
            elif conflict.outcome in ("skipped", "queue_timeout", "failed"):
                answer.verdict = "will_fail" if conflict.outcome == "failed" else "will_skip"
                answer.expected_start = None
        if not found:
            answer.because.append("nothing is foreseen that it would have to wait for")


def _ended(run: RunView) -> str:
    text = f"{run.status} ({STATES[run.status].meaning})"
    if run.ended_at:
        text += f" at {_utc(run.ended_at)}"
    return f"{text}: {run.reason}" if run.reason else text


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
