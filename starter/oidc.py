"""Callers with a JWT of an OpenID Connect issuer."""

import re
from collections.abc import Iterable
from typing import Any

import jwt

from domain.ids import NAME
from domain.problems import InvalidInput, Problem
from shared.settings import Settings
from starter.callers import Caller, Scope, Unauthenticated, caller_of, invalid_token
from starter.jwks import Jwks, safe_url

ALGORITHMS = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
"""With a private key of the issuer's alone: whoever can check a signature cannot make one."""

LEEWAY_SECONDS = 30
MOST_SUBJECT = 255

_REQUIRED = ["exp", "iss", "aud", "sub"]
_SCOPES = {str(scope): scope for scope in Scope}


class Oidc:
    """Lets in who has a JWT that the issuer signed for us."""

    def __init__(self, settings: Settings, issuer: str, algorithms: list[str], keys: Jwks) -> None:
        self._issuer, self._audience = issuer, settings.oidc_audience
        self._tenant_claim, self._scope_claim = (
            settings.oidc_tenant_claim,
            settings.oidc_scope_claim,
        )
        self._algorithms, self._keys = algorithms, keys

    async def caller(self, token: str) -> Caller:
        """Who the token is of. Errors: `Unauthenticated`; `AuthUnavailable` without keys."""
        claims = await self._claims(token)
        subject = claims["sub"]
        if not subject.isprintable() or not 0 < len(subject) <= MOST_SUBJECT:
            raise Unauthenticated("the token's subject cannot be a name", "token_invalid")
        tenant_id = claims.get(self._tenant_claim)
        if self._tenant_claim in claims and not _is_name(tenant_id):
            raise _wrong(f"the claim {self._tenant_claim} is not a tenant's name")
        caller = caller_of(subject, tenant_id, self._scopes_of(claims))
        if caller is None:
            raise _wrong(f"there is neither the claim {self._tenant_claim} nor the scope admin")
        return caller

    async def problem(self) -> str | None:
        """Why nobody could be let in now; None when somebody could."""
        return await self._keys.problem()

    def _scopes_of(self, claims: dict[str, Any]) -> Iterable[Scope]:
        """Scopes of ours; those of others are not our business."""
        said = claims.get(self._scope_claim, [])
        names = said.split(" ") if isinstance(said, str) else said
        if not isinstance(names, list):
            raise _wrong(f"the claim {self._scope_claim} is neither text nor a list")
        return {_SCOPES[name] for name in names if isinstance(name, str) and name in _SCOPES}

    async def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is the issuer's, for us, and of now."""
        try:
            header = jwt.get_unverified_header(token)
            key_id, algorithm = header.get("kid"), header.get("alg")
            if key_id is None or algorithm not in self._algorithms:
                raise invalid_token()
            key = await self._keys.key(key_id, algorithm)
            if key is None:
                raise invalid_token()
            return jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        # The signature is checked first: whoever gets one of these has a token of the issuer's.
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired", "token_expired") from None
        except jwt.ImmatureSignatureError:
            raise _wrong("it is not valid yet") from None
        except jwt.InvalidAudienceError:
            raise _wrong("it is meant for another audience") from None
        except jwt.InvalidIssuerError:
            raise _wrong("it is of another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise _wrong(f"it lacks the claim {error.claim}") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise invalid_token() from None


def oidc_of(settings: Settings) -> Oidc | None:
    """What takes JWTs as the settings say; None when they name no issuer.

    Errors: `InvalidInput` naming every variable that is wrong.
    """
    issuer, algorithms = settings.oidc_issuer, settings.oidc_algorithms.split()
    problems = []

    def bad(name: str, message: str) -> None:
        problems.append(Problem((f"TASKFLOW_{name.upper()}",), message))

    if issuer is None:
        if settings.oidc_audience is not None or settings.oidc_jwks_url is not None:
            bad("oidc_issuer", "is required where another TASKFLOW_OIDC_... variable is set")
            raise InvalidInput(problems)
        return None
    for name, url in (("oidc_issuer", issuer), ("oidc_jwks_url", settings.oidc_jwks_url)):
        try:
            if url is not None:
                safe_url(url)
        except ValueError as error:
            bad(name, str(error))
    if not settings.oidc_audience:
        bad("oidc_audience", "is required: a token for another service must not open this one")
    wrong = [name for name in algorithms if name not in ALGORITHMS]
    if wrong or not algorithms:
        known = ", ".join(sorted(ALGORITHMS))
        bad("oidc_algorithms", f"{' '.join(wrong) or 'nothing'} is none of {known}")
    for name in ("oidc_tenant_claim", "oidc_scope_claim"):
        if not getattr(settings, name):
            bad(name, "must name a claim")
    if problems:
        raise InvalidInput(problems)
    return Oidc(settings, issuer, algorithms, Jwks(issuer, settings.oidc_jwks_url, algorithms))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def _wrong(why: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not valid here: {why}", "token_invalid")
