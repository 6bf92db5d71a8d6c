"""Runs whose first workflow task took so long that Temporal had to be told that it goes on."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from worker.build import workflow_runner
from workflows.task_run import TaskRun

HISTORY = Path(__file__).parent / "histories" / "slow_first_answer.json"


@pytest.mark.fault(7)
async def test_a_run_whose_first_answer_took_long_can_go_on_with_another_worker() -> None:
    """Replayed, the clock of its first step stands where that step ended, and nothing may hang on
    it: of a run that froze with its worker for eight seconds no worker could take over.
    """
    document = json.loads(HISTORY.read_text())
    history = WorkflowHistory.from_json(document["workflow_id"], document["history"])
    replayer = Replayer(
        workflows=[TaskRun],
        workflow_runner=workflow_runner(),
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history)
