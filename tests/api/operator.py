"""Somebody who calls the API for one tenant."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from starter.callers import TENANT_SCOPES, Scope
from tests.api.harness import Door

TASK: dict[str, Any] = {
    "task_id": "report",
    "plugin_id": "builder",
    "triggers": [{"cron": "0 2 * * *", "timezone": "Asia/Shanghai"}],
}


@dataclass(frozen=True)
class Operator:
    """A tenant's token with all scopes, or others."""

    door: Door
    tenant: str
    headers: dict[str, str]

    @classmethod
    def of(cls, door: Door, tenant: str, *scopes: Scope) -> "Operator":
        """A new token."""
        return cls(door, tenant, door.caller(tenant, *(scopes or TENANT_SCOPES)))

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """`/internal` and the path; `headers` by their names with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = {} if body is None else {"json": body}
        return await self.door.http.request(
            method, f"/internal{path}", headers={**self.headers, **named}, **content
        )

    async def done(
        self, method: str, path: str, body: Any = None, *, model: type[BaseModel], **headers: str
    ) -> Any:
        """The document of an answer that is expected to be as OpenAPI has it."""
        answer = await self.call(method, path, body, **headers)
        assert answer.is_success, answer.text
        assert answer.headers["cache-control"] == "no-store"
        fits(model, answer.json())
        return answer.json()

    async def register(self, **said: Any) -> httpx.Response:
        """Register the task, changed by what is said."""
        return await self.call("POST", "/tasks/register", TASK | said)


def fits(model: type[BaseModel], document: Any) -> None:
    """A document has the fields that OpenAPI promises, and no others."""
    model.model_validate_json(json.dumps(document), extra="forbid")


def run_path(run_id: str) -> str:
    """Where a run is."""
    return f"/runs/{quote(run_id)}"
