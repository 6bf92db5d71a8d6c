"""Replay: the code of today follows the histories of runs that began with the code of before.

Code that cannot follow does not fail a run but hangs it, so this is the only place to see it.
"""

import json

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.workflows.changed import NothingAtAll, OtherActivity, TimerFirst
from tests.workflows.record import HISTORIES, OTHER_STORIES, STORIES
from worker.build import workflow_runner
from workflows.answered import Answered
from workflows.breaker import Breaker
from workflows.canary import Canary
from workflows.debounce import Debounce
from workflows.delivery import Delivery
from workflows.forecast import Forecast
from workflows.governor import Governor
from workflows.notice import Notice
from workflows.registry import Registry
from workflows.rollup import Rollup, RollupLook
from workflows.task_run import TaskRun
from workflows.watch import Watch
from workflows.work_order import WorkOrder


def _history(name: str) -> WorkflowHistory:
    document = json.loads((HISTORIES / f"{name}.json").read_text())
    return WorkflowHistory.from_json(document["workflow_id"], document["history"])


async def _replay(workflow: type, name: str) -> None:
    replayer = Replayer(
        workflows=[workflow],
        workflow_runner=workflow_runner(),
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(_history(name))


def test_every_story_is_recorded() -> None:
    """Each way for a run to end has a history, and no history is left over."""
    assert {file.stem for file in HISTORIES.glob("*.json")} == (STORIES | OTHER_STORIES).keys()


@pytest.mark.fault(31)
@pytest.mark.parametrize("name", STORIES)
async def test_recorded_runs_replay(name: str) -> None:
    """Today's code makes the same decisions from the same events."""
    await _replay(TaskRun, name)


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("name", "workflow"),
    [
        ("registry", Registry),
        ("watch", Watch),
        ("rollup", Rollup),
        ("rollup_look", RollupLook),
        ("governor", Governor),
        ("governor_continued", Governor),
        ("breaker", Breaker),
        ("breaker_continued", Breaker),
        ("delivery", Delivery),
        ("debounce", Debounce),
        ("debounce_continued", Debounce),
        ("notice", Notice),
        ("notice_joined", Notice),
        ("work_order", WorkOrder),
        ("work_order_waived", WorkOrder),
        ("forecast", Forecast),
        ("answered", Answered),
        ("canary", Canary),
        ("registry_configured", Registry),
        ("work_order_resolved", WorkOrder),
    ],
)
async def test_recorded_workflows_that_are_no_runs_replay(name: str, workflow: type) -> None:
    """Registries and governors are open for ever: code that cannot follow one ends its memory."""
    await _replay(workflow, name)


@pytest.mark.fault(31)
@pytest.mark.parametrize("changed", [TimerFirst, OtherActivity, NothingAtAll])
@pytest.mark.parametrize("name", STORIES)
async def test_replay_notices_a_change(changed: type, name: str) -> None:
    """The check itself works: code that decides otherwise is refused."""
    with pytest.raises(NondeterminismError):
        await _replay(changed, name)
