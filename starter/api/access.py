"""Who may use a route: what every route of the API asks first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

from starter.api.audit import Audit
from starter.api.context import Context, audit_of, context_of
from starter.api.limits import network_of, too_many
from starter.callers import Caller, Scope, Unauthenticated

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A token of `taskflow tokens create`, or a JWT of the configured issuer. "
    "Without either configured the API answers this machine alone, and asks for none.",
)

Shared = Annotated[Context, Depends(context_of)]
Audited = Annotated[Audit, Depends(audit_of)]
NamedTenant = Annotated[
    str | None,
    Query(description="Of admins, who speak for every tenant: the one that this is about"),
]


Credentials = Callable[[Request], str | None]
"""Finds in a request what stands in an Authorization header. Errors: `Unauthenticated`."""


def header_of(request: Request) -> str | None:
    """The one Authorization header.

    Errors: `Unauthenticated` for several: others may go by another of them.
    """
    said = request.headers.getlist("authorization")
    if len(said) > 1:
        message = "the request has several Authorization headers"
        raise Unauthenticated(message, "credentials_malformed")
    return said[0] if said else None


@dataclass(frozen=True, slots=True)
class Access:
    """A caller who may do what the route does, and the tenant that it is done for."""

    caller: Caller
    tenant_id: str
    context: Context
    audit: Audit


def allowed(scope: Scope) -> Callable[..., Awaitable[Access]]:
    """The dependency of a route that needs `scope`; errors as those of `access_of`."""

    async def access(
        request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
    ) -> Access:
        return await access_of(scope, request, context, audit, tenant_id)

    return access


async def access_of(
    scope: Scope, request: Request, context: Context, audit: Audit, named: str | None
) -> Access:
    """The access of who sends a request; `named`: the tenant that it names.

    Errors: those of `caller_with`, `NotFound` for the tenant of others, `InvalidInput` when an
    admin names none.
    """
    caller = await caller_with(scope, request, context, audit)
    audit.tenant_id = caller.tenant(named)
    return Access(caller, audit.tenant_id, context, audit)


async def caller_with(
    scope: Scope,
    request: Request,
    context: Context,
    audit: Audit,
    credentials: Credentials = header_of,
) -> Caller:
    """Who sends a request, if they may do this.

    Errors: `Unauthenticated`, `AuthUnavailable`, `Forbidden`, `HttpRefusal` 429.
    """
    audit.scope = scope
    audit.about(**{name: str(value) for name, value in request.path_params.items()})
    caller = await authenticated(request, context, audit, credentials)
    caller.require(scope)
    return caller


async def admin_of(request: Request, context: Shared, audit: Audited) -> Caller:
    """Who sends a request that is about no one tenant, and is an admin.

    Errors: `Unauthenticated`, `Forbidden`, `HttpRefusal` 429.
    """
    audit.scope = Scope.ADMIN
    caller = await authenticated(request, context, audit)
    caller.require(Scope.ADMIN)
    return caller


async def authenticated(
    request: Request, context: Context, audit: Audit, credentials: Credentials = header_of
) -> Caller:
    """Who calls, when they have not called too often.

    An address that sent too many wrong credentials waits before more of them are looked at.
    Errors: `Unauthenticated`, `AuthUnavailable`, `HttpRefusal` 429.
    """
    address = network_of(request.client.host if request.client else "")
    if wait := context.failures.wait(address):
        raise too_many(wait, f"too many wrong credentials came from {address}")
    try:
        caller = await context.authenticator.caller(credentials(request))
    except Unauthenticated:
        context.failures.take(address)
        raise
    audit.who = caller.name
    tenant = caller.tenant_id
    key = ("tenant", tenant) if tenant else ("caller", caller.name)
    if wait := context.requests.take(key):
        limit = context.settings.api_requests_per_minute
        what = f"more than {limit} requests a minute came from {' '.join(key)}"
        raise too_many(wait, what)
    return caller


bearer = Security(_bearer)
"""A dependency of every router, for OpenAPI alone: the authenticator reads the header itself."""

Reader = Annotated[Access, Security(allowed(Scope.TASK_READ))]
Writer = Annotated[Access, Security(allowed(Scope.TASK_WRITE))]
Operator = Annotated[Access, Security(allowed(Scope.TASK_OPERATE))]
Admin = Annotated[Caller, Security(admin_of)]
