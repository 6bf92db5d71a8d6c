"""What docs/events.md says is so: its file is read, its event is sent, its code verifies."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.cloud_event import event_of
from domain.sinks import Sink
from shared.settings import ROOT, Settings
from shared.sinks import load_sinks
from shared.webhooks import parse_secrets, sign
from tests.events.harness import new_secret, run_of

PAGE = (ROOT / "docs/events.md").read_text()


def _block(language: str) -> str:
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def test_the_sinks_file_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is accepted as it stands, and the table has every key with what it is if left out."""
    monkeypatch.setenv("AUDIT_SECRET", new_secret())
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/pager").write_text(new_secret())
    file = tmp_path / "sinks.yaml"
    file.write_text(_block("yaml"))
    assert [sink.name for sink in load_sinks(file)] == ["audit", "pager"]
    for key in Sink.model_fields:
        assert re.search(rf"^\|.*`{key}`", PAGE, re.MULTILINE), key
    assert "sinks_file" in Settings.model_fields


def test_the_event_has_what_events_have() -> None:
    """Names of attributes and data, in the page's order."""
    shown = json.loads(_block("json"))
    run = run_of(1)
    sent: dict[str, Any] = event_of(run, run.changes[0])
    assert list(shown) == list(sent)
    assert list(shown["data"]) == list(sent["data"])


def test_the_code_verifies_what_is_sent() -> None:
    """Ours, and nobody else's."""
    namespace: dict[str, Any] = {}
    exec(_block("python"), namespace)  # noqa: S102 - it is our own page
    is_ours = namespace["is_ours"]
    old, new = new_secret(), new_secret()
    headers = sign(parse_secrets(f"{new} {old}"), "msg_1", b"[]", now=datetime.now(UTC))
    assert is_ours(new, headers, b"[]")
    assert is_ours(old, headers, b"[]")
    assert not is_ours(new_secret(), headers, b"[]")
    assert not is_ours(new, headers, b"[ ]")
    late = sign(parse_secrets(new), "msg_1", b"[]", now=datetime.now(UTC) - timedelta(hours=1))
    assert not is_ours(new, late, b"[]")
    [command] = re.findall(r'python -c "(.*?)"', PAGE)
    made: list[str] = []
    exec(command, {"print": made.append})  # noqa: S102
    assert parse_secrets(made[0])
