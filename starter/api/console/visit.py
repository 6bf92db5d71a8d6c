"""A request to the console: who sent it, for which tenant, and whether they may."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request

from domain.ids import schedule_id
from shared.temporal import namespace
from starter.api.access import Access, Audited, NamedTenant, Shared, caller_with
from starter.api.audit import Audit
from starter.api.console import links
from starter.api.console.forms import read_form
from starter.api.console.session import Session, check_origin
from starter.api.context import Context
from starter.callers import Caller, Scope

_KNOWN = "taskflow.visit"
"""Where in a request's scope a visit stands: the page of an error is the visitor's too."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who may do what they ask for; `tenant`: None where an admin has named none.

    `form`: the fields of what they sent.
    """

    context: Context
    session: Session
    caller: Caller
    audit: Audit
    tenant: str | None
    form: dict[str, str] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        """The tenant that it is about. Errors: `InvalidInput` when an admin has named none."""
        return self.caller.tenant(self.tenant)

    @property
    def access(self) -> Access:
        """The same as the routes of the API have it."""
        return Access(self.caller, self.tenant_id, self.context, self.audit)

    @property
    def signed_in(self) -> bool:
        """Whether there is a token to forget."""
        return not self.context.loopback_only

    @property
    def operates(self) -> bool:
        """Whether buttons are shown; the routes that they lead to ask again."""
        return self.caller.may(Scope.TASK_OPERATE)

    def link(self, *parts: str, **query: str | int | None) -> str:
        """A page about the same tenant: an admin's links name it, as the API wants it."""
        named = self.tenant if self.caller.is_admin else None
        return links.link(*parts, **{"tenant_id": named, **query})

    def temporal_run(self, run_id: str, temporal_run_id: str | None = None) -> str | None:
        """A workflow in Temporal's Web UI; None when nobody said where that is."""
        base = self.context.settings.temporal_ui_url
        return base and links.temporal_workflow(base, namespace(), run_id, temporal_run_id)

    def temporal_task(self, task_id: str) -> str | None:
        """A task's schedule there."""
        base = self.context.settings.temporal_ui_url
        schedule = schedule_id(self.tenant_id, task_id)
        return base and links.temporal_schedule(base, namespace(), schedule)


def visit_of(request: Request) -> Visit | None:
    """Who sent a request, once that is known."""
    known = request.scope.get(_KNOWN)
    return known if isinstance(known, Visit) else None


async def reading(
    request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
) -> Visit:
    """Somebody who may look. Errors: those of `access_of`."""
    return await _visit(request, context, audit, tenant_id, Scope.TASK_READ)


async def operating(
    request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
) -> Visit:
    """Somebody who sent a form of ours, and may do what it asks for.

    Errors: those of `access_of`, of `check_origin`, of `read_form` and of `Session.check`.
    """
    audit.scope = Scope.TASK_OPERATE
    check_origin(request)
    visit = await _visit(request, context, audit, tenant_id, Scope.TASK_OPERATE)
    form = await read_form(request)
    visit.session.check(form)
    audit.tenant_id = visit.tenant_id
    return replace(visit, form=form)


async def _visit(
    request: Request, context: Context, audit: Audit, named: str | None, scope: Scope
) -> Visit:
    session = Session.of(request)
    caller = await caller_with(scope, request, context, audit, lambda _: session.credentials)
    tenant = caller.default_tenant if named is None else named
    if tenant is not None or not caller.is_admin:
        tenant = audit.tenant_id = caller.tenant(named)
    visit = Visit(context, session, caller, audit, tenant)
    request.scope[_KNOWN] = visit
    return visit


Reading = Annotated[Visit, Depends(reading)]
Operating = Annotated[Visit, Depends(operating)]
