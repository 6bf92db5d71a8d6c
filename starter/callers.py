"""Who calls the API: which tenant they speak for, and what they may do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.ids import NAME
from domain.problems import InvalidInput, Problem, shown
from shared.errors import NotFound, Refused, TaskflowError


class Scope(StrEnum):
    """What a caller may do; `admin` may everything, for every tenant."""

    TASK_READ = "task:read"
    TASK_WRITE = "task:write"
    TASK_OPERATE = "task:operate"
    EVENT_PUBLISH = "event:publish"
    ADMIN = "admin"


TENANT_SCOPES = frozenset(Scope) - {Scope.ADMIN}
"""All that may be done within one tenant."""


class Unauthenticated(Refused):
    """Nobody is known to call; `code` says for machines why, and never more than the text."""

    def __init__(self, message: str, code: str = "unauthenticated") -> None:
        super().__init__(message)
        self.code = code


class Forbidden(Refused):
    """The caller is known and lacks `scope`."""

    code = "forbidden"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this needs the scope {scope}")
        self.scope = scope


class AuthUnavailable(TaskflowError):  # noqa: N818 - reads as what happened
    """Who calls cannot be found out now, so nobody is let in; it may be tried again."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in.

    `tenant_id` is None for admins alone, who name the tenant of each request; `default_tenant` is
    the one of a request that names none. Errors: `ValueError` for a tenant's caller who is an
    admin, or one of no tenant who is not.
    """

    name: str
    tenant_id: str | None
    scopes: frozenset[Scope]
    default_tenant: str | None = None

    def __post_init__(self) -> None:
        if (self.tenant_id is None) is not (Scope.ADMIN in self.scopes):
            raise ValueError("either a tenant's caller, or one with the scope admin")

    @property
    def is_admin(self) -> bool:
        """Whether they may everything, for every tenant."""
        return Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether they may do it, in the tenant that `tenant` gives."""
        return self.is_admin or scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Go on only with this scope. Errors: `Forbidden`, naming it."""
        if not self.may(scope):
            raise Forbidden(scope)

    def tenant(self, named: str | None) -> str:
        """The tenant that a request is about: the caller's own, or the one that an admin names.

        Errors: `NotFound` for a tenant of others, whether it exists or not; `InvalidInput` when an
        admin names none, or what cannot be one.
        """
        if self.tenant_id is not None:
            if named not in (None, self.tenant_id):
                raise NotFound(f"there is no tenant {shown(named)}")
            return self.tenant_id
        tenant_id = self.default_tenant if named is None else named
        if tenant_id is None:
            raise _bad_tenant("is required of an admin: the tenant that the request is about")
        if not re.fullmatch(NAME, tenant_id):
            raise _bad_tenant(f"{shown(tenant_id)} is not a tenant's name")
        return tenant_id


class Authenticator(Protocol):
    """Finds out who calls."""

    async def caller(self, authorization: str | None) -> Caller:
        """Who sent this Authorization header.

        Errors: `Unauthenticated`; `AuthUnavailable` when it cannot be found out now.
        """
        ...

    async def problem(self) -> str | None:
        """Why nobody could be let in now, in a sentence; None when somebody could."""
        ...


def caller_of(name: str, tenant_id: str | None, scopes: Iterable[Scope]) -> Caller | None:
    """The caller that a credential stands for; None when it says neither a tenant nor admin.

    A tenant confines: together with one, `admin` means everything within that tenant.
    """
    granted = frozenset(scopes)
    if Scope.ADMIN in granted and tenant_id is not None:
        granted = TENANT_SCOPES
    if tenant_id is None and Scope.ADMIN not in granted:
        return None
    return Caller(name, tenant_id, granted)


def invalid_token() -> Unauthenticated:
    """The one answer for whatever nobody vouches for, which tells nothing of why."""
    return Unauthenticated("this token is not known here", "token_invalid")


def _bad_tenant(message: str) -> InvalidInput:
    return InvalidInput([Problem(("tenant_id",), message)])
