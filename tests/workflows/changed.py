"""What `TaskRun` must never become without a version marker: code that open runs cannot follow."""

from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.attributes import TASK_RUN
    from domain.run import TaskRunInput


@workflow.defn(name=TASK_RUN)
class TimerFirst:
    """Waits where it went straight on."""

    @workflow.run
    async def run(self, request: TaskRunInput) -> Any:
        """A timer, and then the call."""
        await workflow.sleep(1)
        return await workflow.execute_activity(
            "execute_plugin", request, start_to_close_timeout=timedelta(minutes=1)
        )


@workflow.defn(name=TASK_RUN)
class OtherActivity:
    """Calls under another name."""

    @workflow.run
    async def run(self, request: TaskRunInput) -> Any:
        """An activity that no open run has scheduled."""
        return await workflow.execute_activity(
            "call_plugin", request, start_to_close_timeout=timedelta(minutes=1)
        )


@workflow.defn(name=TASK_RUN)
class NothingAtAll:
    """Ends where it called the plugin."""

    @workflow.run
    async def run(self, request: TaskRunInput) -> Any:
        """No activity."""
        return None
