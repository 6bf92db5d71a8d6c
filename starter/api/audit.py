"""One line in the log for every write: who wanted what, of which tenant, and what came of it."""

from dataclasses import dataclass, field

import structlog

from starter.callers import Scope

log = structlog.get_logger(__name__)

_MOST_ID = 200


@dataclass(slots=True)
class Audit:
    """What is known of one request while it is answered. Never bodies, headers or secrets.

    `scope`: what the route asks for; reads are not audited. `ids`: what it is about. `before`,
    `after`: digests of what it changed, which only the route can know.
    """

    scope: Scope | None = None
    who: str | None = None
    tenant_id: str | None = None
    before: str | None = None
    after: str | None = None
    code: str | None = None
    ids: dict[str, str] = field(default_factory=dict)

    def about(self, **ids: str) -> None:
        """Name what the request is about."""
        self.ids |= ids

    def changed(self, before: str | None, after: str | None) -> None:
        """The digests of what was and of what is; None for nothing."""
        self.before, self.after = before, after

    def write(self, *, method: str, route: str, status: int, client: str) -> None:
        """The line, if the route writes."""
        if self.scope in (None, Scope.TASK_READ):
            return
        log.info(
            "write",
            action="audit",
            who=self.who,
            tenant_id=self.tenant_id,
            method=method,
            route=route,
            ids={name: value[:_MOST_ID] for name, value in self.ids.items()},
            before=self.before,
            after=self.after,
            status=status,
            code=self.code,
            client=client,
        )
