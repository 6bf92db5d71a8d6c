"""`python -m tests.versions.next_release`: a worker of a release whose runs take another way.

They wait before they do anything, which no run of this release did: its histories say otherwise.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow

import worker.main
from shared import log
from shared.leave import leave
from shared.settings import get_settings

with workflow.unsafe.imports_passed_through():
    from domain.attributes import TASK_RUN
    from domain.run import TaskRunInput, TaskRunResult
    from workflows.task_run import TaskRun

MARK = "a step of the next release"


@workflow.defn(name=TASK_RUN)
class NextTaskRun(TaskRun):
    """What open runs of this release cannot follow."""

    @workflow.init
    def __init__(self, request: TaskRunInput) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: TaskRunInput) -> TaskRunResult:
        """A timer, and then as before."""
        await workflow.sleep(timedelta(milliseconds=1), summary=MARK)
        return await super().run(request)


if __name__ == "__main__":
    vars(worker.main)[TaskRun.__name__] = NextTaskRun
    log.configure(get_settings())
    asyncio.run(worker.main.run_worker(get_settings()))
    leave(0)
