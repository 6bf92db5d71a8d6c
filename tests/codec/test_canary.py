"""What people put into tasks, secrets, payloads and answers is nowhere but where they put it."""

import base64
from collections.abc import Iterator

import pytest

from tests.codec.stack import CANARIES, Stack
from tests.codec.story import Story


def traces(text: str) -> Iterator[bytes]:
    """A text as it is, and as base64 has it wherever it begins."""
    yield text.encode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text.encode())
        yield encoded[4 if before else 0 : -4]


@pytest.mark.fault(30)
@pytest.mark.parametrize("what", CANARIES)
def test_temporal_keeps_nothing_in_clear_text(story: Story, encrypted: Stack, what: str) -> None:
    """After runs that ended well, failed, were undone, retried, accepted, made by events, held."""
    kept = encrypted.kept()
    assert len(kept) > 500_000
    assert b"binary/encrypted" in kept
    assert [trace for trace in traces(CANARIES[what]) if trace in kept] == []


@pytest.mark.fault(30)
@pytest.mark.parametrize("what", CANARIES)
def test_no_process_logs_it(story: Story, encrypted: Stack, what: str) -> None:
    """Worker and API at their most talkative; commands write nothing else than their answers."""
    logged = encrypted.logged()
    assert b"attempt ended" in logged
    assert b'"action": "audit"' in logged
    assert [trace for trace in traces(CANARIES[what]) if trace in logged] == []


@pytest.mark.fault(30)
def test_without_keys_the_canary_is_found(encrypted: Stack) -> None:
    """The same search, in the same files: what is not encrypted is seen by it."""
    canary = "canary-unkeyed-77e0b1"
    task = f"""
tenant_id: nobody
task_id: open-book
plugin_id: echo
triggers: [{{cron: "0 0 1 1 *"}}]
params: {{key: {canary}}}
"""
    encrypted.unkeyed.ok("apply", "-", stdin="tasks:\n- " + task.strip().replace("\n", "\n  "))
    kept = encrypted.kept()
    assert [trace for trace in traces(canary) if trace in kept]
