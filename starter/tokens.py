"""Bearer tokens of the API: making, revoking and replacing them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from domain.problems import InvalidInput, Problem
from shared.errors import NotFound, Refused
from shared.token_file import change_tokens
from shared.tokens import ID_RULE, Token, Tokens, TokenState, new_token

Made = tuple[Token, str]
"""What is kept of a new token, and the token itself."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """A token in the place of another, which still lets in for a while."""

    new: Token
    shown: str = field(repr=False)
    old: Token


def create_token(
    path: Path,
    tenant_id: str | None,
    scopes: Iterable[str],
    *,
    lives: timedelta,
    note: str,
    now: datetime,
) -> Made:
    """Add a token to the file, which is made if there is none. Errors: those of the file."""

    def change(tokens: Tokens) -> tuple[Tokens, Made]:
        made = new_token(tenant_id, scopes, lives=lives, note=note, now=now)
        while made[0].id in tokens.by_id:
            made = new_token(tenant_id, scopes, lives=lives, note=note, now=now)
        return tokens.with_token(made[0]), made

    return change_tokens(path, change)


def revoke_token(path: Path, token_id: str, *, now: datetime) -> tuple[Token, bool]:
    """End a token for good; False when it was revoked already. Errors: `NotFound`."""

    def change(tokens: Tokens) -> tuple[Tokens, tuple[Token, bool]]:
        token = _known(tokens, token_id)
        if token.revoked_at is not None:
            return tokens, (token, False)
        token = token.model_copy(update={"revoked_at": now.replace(microsecond=0)})
        return tokens.with_token(token), (token, True)

    return change_tokens(path, change)


def rotate_token(
    path: Path, token_id: str, *, overlap: timedelta, lives: timedelta | None, now: datetime
) -> Rotated:
    """Make a token with the same rights, and end the old one after `overlap`, or when it ends.

    The new one lives as long as the old one was made for, unless `lives` says otherwise.
    Errors: `NotFound`; `Refused` for a token that lets nobody in, or was replaced already.
    """

    def change(tokens: Tokens) -> tuple[Tokens, Rotated]:
        old = _known(tokens, token_id)
        if (state := old.state(now)) is not TokenState.ACTIVE:
            raise Refused(f"{old.id} is {state}: make a new one with `taskflow tokens create`")
        if old.replaced_by is not None:
            raise Refused(f"{old.id} was replaced already, by {old.replaced_by}: rotate that one")
        new, shown = new_token(
            old.tenant_id, old.scopes, lives=lives or old.lives, note=old.note, now=now
        )
        end = now.replace(microsecond=0) + overlap
        if old.expires_at is not None:
            end = min(end, old.expires_at)
        old = old.model_copy(update={"expires_at": end, "replaced_by": new.id})
        return tokens.with_token(old).with_token(new), Rotated(new, shown, old)

    return change_tokens(path, change)


def _known(tokens: Tokens, token_id: str) -> Token:
    if not re.fullmatch(ID_RULE, token_id):  # not repeated: it may be a whole token
        message = "is not a token's id: 12 of 0-9 a-f, as `taskflow tokens list` shows them"
        raise InvalidInput([Problem(("id",), message)])
    token = tokens.by_id.get(token_id)
    if token is None:
        raise NotFound(f"there is no token {token_id}: `taskflow tokens list` shows all")
    return token
