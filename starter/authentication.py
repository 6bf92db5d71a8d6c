"""Who calls, as the settings say how to find out: by bearer token, by JWT, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from shared.errors import TaskflowError
from shared.settings import Settings
from shared.token_file import LiveTokens
from shared.tokens import PREFIX, TokenState
from starter.callers import (
    Authenticator,
    Caller,
    Scope,
    Unauthenticated,
    caller_of,
    invalid_token,
)
from starter.oidc import Oidc, oidc_of

log = structlog.get_logger(__name__)

MOST_CHARACTERS = 16 * 1024
"""Of an Authorization header; a JWT with many claims takes some thousands."""

_SCOPES = {str(scope): scope for scope in Scope}


def authenticator_of(settings: Settings, *, loopback: bool) -> Authenticator:
    """What finds out who calls; `loopback`: whether only this machine can reach the process.

    Errors: `InvalidInput` for settings or a file of tokens that are wrong; `TaskflowError` when
    nothing is set and others can reach the process.
    """
    tokens = LiveTokens(settings.tokens_file) if settings.tokens_file is not None else None
    oidc = oidc_of(settings)
    if tokens is not None or oidc is not None:
        return Bearer(tokens, oidc)
    if not loopback:
        raise TaskflowError(
            "nobody could tell who calls: set TASKFLOW_TOKENS_FILE or TASKFLOW_OIDC_ISSUER, or "
            "listen on 127.0.0.1 only"
        )
    log.warning(
        "no authentication: whoever reaches this address may everything",
        action="anonymous",
        default_tenant=settings.tenant,
    )
    return Anonymous(settings.tenant)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Lets everybody in as an admin; for a process that only this machine reaches."""

    default_tenant: str | None

    async def caller(self, authorization: str | None) -> Caller:
        """Somebody who may everything."""
        return Caller("anonymous", None, frozenset(Scope), self.default_tenant)

    async def problem(self) -> str | None:
        """None: nothing is needed."""
        return None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Reads `Authorization: Bearer ...`: what begins with `tsk_` is a token of ours, else a JWT."""

    tokens: LiveTokens | None
    oidc: Oidc | None
    clock: Callable[[], datetime] = _now

    async def caller(self, authorization: str | None) -> Caller:
        """Errors: `Unauthenticated`; `AuthUnavailable` of OIDC."""
        credential = _credential(authorization)
        if not credential.startswith(PREFIX) and self.oidc is not None:
            return await self.oidc.caller(credential)
        return self._holder(credential)

    async def problem(self) -> str | None:
        """What is wrong with both ways in; None when one of them is open."""
        said: list[str] = []
        if self.tokens is not None:
            tokens, now = self.tokens.current().by_id.values(), self.clock()
            if any(token.state(now) is TokenState.ACTIVE for token in tokens):
                return None
            none = "every token has ended" if tokens else "there are no tokens"
            said.append(f"{none}: `taskflow tokens create` makes one")
        if self.oidc is not None:
            if (reason := await self.oidc.problem()) is None:
                return None
            said.append(reason)
        return "; ".join(said)

    def _holder(self, credential: str) -> Caller:
        """Who holds this token of ours. Errors: `Unauthenticated`."""
        token = self.tokens.current().find(credential) if self.tokens is not None else None
        if token is None:
            raise invalid_token()
        state = token.state(self.clock())  # told to nobody but who has the secret
        if state is not TokenState.ACTIVE:
            raise Unauthenticated(f"the token is {state}", f"token_{state}")
        scopes = {_SCOPES[name] for name in token.scopes if name in _SCOPES}
        caller = caller_of(token.id, token.tenant_id, scopes)
        if caller is None:
            raise invalid_token()
        return caller


def _credential(authorization: str | None) -> str:
    """What stands after `Bearer`. Errors: `Unauthenticated`."""
    if authorization is None:
        raise Unauthenticated("the request needs an Authorization header", "credentials_missing")
    scheme, _, credential = authorization.strip(" \t").partition(" ")
    credential = credential.strip(" \t")
    well_formed = credential and credential.isascii() and " " not in credential
    if scheme.lower() != "bearer" or not well_formed or len(authorization) > MOST_CHARACTERS:
        message = "the Authorization header must be the word Bearer and a token"
        raise Unauthenticated(message, "credentials_malformed")
    return credential
