"""The API as a process of its own, which tests meet as everybody else does: over a connection."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.tokens import FOR_EVER
from starter.callers import Scope
from starter.tokens import create_token
from tests.starter.harness import eventually
from tests.watch.processes import process


@dataclass(frozen=True, slots=True)
class Outside:
    """A process that serves, and where its log and its tokens are."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path
    tokens: Path

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return int(self.url.rpartition(":")[2])

    def caller(self, tenant_id: str | None, *scopes: Scope) -> dict[str, str]:
        """The header of a new token: of a tenant with these scopes, or of an admin."""
        granted = scopes if tenant_id else [Scope.ADMIN]
        _, shown = create_token(
            self.tokens, tenant_id, granted, lives=FOR_EVER, note="", now=datetime.now(UTC)
        )
        return {"Authorization": f"Bearer {shown}"}

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def is_well(self) -> bool:
        """It lives, and met nothing that nobody foresaw."""
        said = self.log.read_text()
        unforeseen = "Traceback" in said or "request_failed" in said
        return self.process.poll() is None and not unforeseen


@contextmanager
def outside(folder: Path, **environment: str) -> Iterator[Outside]:
    """A process on a free port, with what the environment says beside tokens in `folder`."""
    log, tokens = folder / "api.log", folder / "tokens.json"
    before = log.read_text() if log.exists() else ""
    known = {"TASKFLOW_LOG_FORMAT": "json", "TASKFLOW_TOKENS_FILE": str(tokens)}
    command = (sys.executable, "-m", "starter.api", "--port", "0")
    with process(log, *command, **known | environment) as child:

        def listens() -> str | None:
            assert child.poll() is None, log.read_text()
            whole = log.read_text().removeprefix(before).rpartition("\n")[0].splitlines()
            said = [json.loads(line) for line in whole]
            return next((line["url"] for line in said if line["action"] == "api_listens"), None)

        yield Outside(child, str(eventually(listens, within=40)), log, tokens)
