"""Bearer tokens of the API: how they look, and the file that knows them by their digests."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from domain.document import parse_json
from domain.ids import NAME
from domain.problems import InvalidInput, problems_of

PREFIX = "tsk_"
ADMIN = "admin"
FOR_EVER = timedelta.max
ID_RULE = r"[0-9a-f]{12}"
_ID_BYTES, _SECRET_BYTES = 6, 32
_TOKEN = re.compile(rf"{PREFIX}({ID_RULE})_[0-9a-f]{{64}}")
_NOBODYS = hashlib.sha256(b"").hexdigest()


class TokenState(StrEnum):
    """Whether a token lets in."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Token(BaseModel):
    """What is kept of a token; the token itself is not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=rf"^{ID_RULE}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(repr=False)
    tenant_id: Annotated[str, StringConstraints(pattern=rf"^{NAME}$")] | None
    scopes: tuple[str, ...]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    replaced_by: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _confined(self) -> "Token":
        if (self.tenant_id is None) is not (ADMIN in self.scopes):
            raise ValueError(f"needs either a tenant_id or the scope {ADMIN}, and not both")
        return self

    def state(self, now: datetime) -> TokenState:
        """Whether it lets in at this moment; what was revoked stays so."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return TokenState.EXPIRED
        return TokenState.ACTIVE

    @property
    def lives(self) -> timedelta:
        """For how long it was made."""
        return FOR_EVER if self.expires_at is None else self.expires_at - self.created_at

    def as_json(self, now: datetime) -> dict[str, Any]:
        """What anybody may see of it."""
        shown = self.model_dump(mode="json", exclude={"sha256"})
        return {**shown, "state": str(self.state(now))}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: tuple[Token, ...]

    @field_validator("tokens")
    @classmethod
    def _once(cls, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        ids = [token.id for token in tokens]
        twice = sorted({token_id for token_id in ids if ids.count(token_id) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice")
        return tokens


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of a file, by their ids."""

    by_id: dict[str, Token]

    @classmethod
    def of(cls, tokens: Iterable[Token]) -> "Tokens":
        """These tokens, in this order."""
        return cls({token.id: token for token in tokens})

    @classmethod
    def parse(cls, text: str) -> "Tokens":
        """The tokens of a file's text. Errors: `InvalidInput` with every problem."""
        document = parse_json(text)
        try:
            return cls.of(_File.model_validate(document.data).tokens)
        except ValidationError as error:
            raise InvalidInput(document.placed(problems_of(error))) from error

    def text(self) -> str:
        """What `parse` reads."""
        file = _File(tokens=tuple(self.by_id.values()))
        return file.model_dump_json(indent=2) + "\n"

    def find(self, presented: str) -> Token | None:
        """The token that was presented, in whatever state; None for an unknown one.

        An unknown id and a wrong secret take the same steps, and the comparison of the digests
        takes the same time wherever they differ.
        """
        form = _TOKEN.fullmatch(presented)
        digest = digest_of(presented)
        token = self.by_id.get(form[1]) if form else None
        known = token.sha256 if token else _NOBODYS
        return token if hmac.compare_digest(digest, known) else None

    def with_token(self, token: Token) -> "Tokens":
        """The same with one more, or another in the place of the one with its id."""
        return replace(self, by_id={**self.by_id, token.id: token})


def digest_of(presented: str) -> str:
    """SHA-256 of a whole token: it is random, so a slow hash would protect nothing more."""
    return hashlib.sha256(presented.encode("utf-8", "replace")).hexdigest()


def new_token(
    tenant_id: str | None,
    scopes: Iterable[str],
    *,
    now: datetime,
    lives: timedelta,
    note: str = "",
) -> tuple[Token, str]:
    """A new token: what is kept of it, and the token, which is shown once."""
    token_id = secrets.token_hex(_ID_BYTES)
    shown = f"{PREFIX}{token_id}_{secrets.token_hex(_SECRET_BYTES)}"
    now = now.astimezone(UTC).replace(microsecond=0)
    token = Token(
        id=token_id,
        sha256=digest_of(shown),
        tenant_id=tenant_id,
        scopes=tuple(sorted(set(scopes))),
        created_at=now,
        expires_at=None if lives == FOR_EVER else now + lives,
        note=note,
    )
    return token, shown
