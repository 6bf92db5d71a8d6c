"""The guard against changes that open workflows cannot follow: what is recorded, and replayed."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory

from domain.decisions import Decision
from domain.governor import Answer, answer_of
from shared.builds import digest_of
from shared.settings import ROOT
from starter.replaying import DEFINITION, agrees, every_workflow, replay
from tests.workflows.record import HISTORIES
from workflows import governor

ANSWERING = {"breaker", "breaker_continued", "governor", "governor_continued"}
"""Those whose answers others go on with."""
DOCUMENTS = {file.stem: json.loads(file.read_text()) for file in HISTORIES.glob("*.json")}


def _took(document: Any) -> tuple[str, set[str]]:
    """The type of a recorded workflow, and the signals and updates that it took."""
    began, *events = document["history"]["events"]
    signals = {
        said["signalName"]
        for event in events
        if (said := event.get("workflowExecutionSignaledEventAttributes"))
    }
    updates = {
        said["acceptedRequest"]["input"]["name"]
        for event in events
        if (said := event.get("workflowExecutionUpdateAcceptedEventAttributes"))
    }
    return began["workflowExecutionStartedEventAttributes"]["workflowType"][
        "name"
    ], signals | updates


async def _broken(client: Client) -> dict[str, str]:
    """Why each history with answers cannot be gone on with, of those that cannot."""

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for name, document in DOCUMENTS.items():
            if name in ANSWERING:
                yield WorkflowHistory.from_json(document["workflow_id"], document["history"])

    return {name: why async for name, why in replay(client, histories()) if why}


def test_every_workflow_has_recorded_histories_of_all_that_it_takes() -> None:
    """A signal, an update or a workflow that nobody recorded is one whose changes nobody sees."""
    recorded: defaultdict[str, set[str]] = defaultdict(set)
    for document in DOCUMENTS.values():
        name, taken = _took(document)
        recorded[name] |= taken
    assert recorded == every_workflow_takes()


def every_workflow_takes() -> dict[str, set[str]]:
    """The signals and updates of each workflow of the product."""
    known = {name: vars(kind)[DEFINITION] for name, kind in every_workflow().items()}
    return {name: {*found.signals, *found.updates} for name, found in known.items()}


@pytest.mark.fault(31)
async def test_todays_code_gives_the_answers_that_were_given(temporal: Client) -> None:
    """A governor or breaker that answers otherwise has another memory than those it told."""
    assert await _broken(temporal) == {}


@pytest.mark.fault(31)
async def test_an_answer_that_would_be_another_one_is_found(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps are the same, so that Temporal sees nothing; the ledger would be another one."""

    def otherwise(decision: Decision) -> Answer:
        return answer_of(decision).model_copy(update={"fence": 1})

    monkeypatch.setitem(vars(governor), answer_of.__name__, otherwise)
    found = await _broken(temporal)
    assert found
    assert all("was answered otherwise" in why for why in found.values())


def test_fields_that_came_later_are_no_difference() -> None:
    """An answer may say more than it did, and nothing else."""
    assert agrees(
        {"kind": "granted", "rest": [{"a": 1}]}, {"rest": [{"a": 1, "b": 2}], "kind": "granted"}
    )
    assert not agrees({"kind": "granted"}, {"kind": "queued"})
    assert not agrees({"rest": [1, 2]}, {"rest": [1]})
    assert not agrees({"kind": "granted"}, {})


def test_a_build_id_changes_with_the_code_that_decides_and_with_no_other(tmp_path: Path) -> None:
    """So that a release without such a change needs no new version."""
    for name in ("domain/run.py", "workflows/deep/story.py", "activities/call.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    before = digest_of(tmp_path)
    (tmp_path / "activities/call.py").write_text("x = 2\n")
    assert digest_of(tmp_path) == before
    (tmp_path / "workflows/deep/story.py").write_text("x = 2\n")
    changed = digest_of(tmp_path)
    assert changed != before
    (tmp_path / "workflows/deep/story.py").rename(tmp_path / "workflows/story.py")
    assert digest_of(tmp_path) not in (before, changed)
    assert digest_of(ROOT) == digest_of(ROOT)
