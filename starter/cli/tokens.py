"""`tokens`: who may come in at the API. The commands change a file, which the API reads again."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import console, print_json, say

if TYPE_CHECKING:
    from shared.tokens import Token

TokenId = Annotated[
    str, typer.Argument(metavar="ID", help="The token's id, as `list` shows it", show_default=False)
]
File = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The file of tokens, if not TASKFLOW_TOKENS_FILE"),
]
MOST_NOTE = 200

group = typer.Typer(
    name="tokens",
    help="Say who may come in at the API.",
    epilog="Example: taskflow tokens create --tenant acme --scope task:read",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""

    def example(text: str) -> str:
        return f"Example: taskflow tokens {text}"

    create_example = "create --tenant acme --scope task:read --scope task:operate --note console"
    group.command(epilog=example(create_example))(create)
    group.command("list", epilog=example("list"))(list_)
    group.command(epilog=example("revoke 3f0a9c4be21d"))(revoke)
    group.command(epilog=example("rotate 3f0a9c4be21d --overlap 1h"))(rotate)
    app.add_typer(group)


def create(
    *,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom it speaks for; none for an admin")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="What it may do; repeatable")
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="DURATION|never", help="How long it lives")
    ] = "90d",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What it is for")] = "",
    file: File = None,
    as_json: options.Json = False,
) -> None:
    """Make a token and print it, this once.

    Its scopes are of task:read, task:write, task:operate, event:publish; or it is an admin's, who
    may everything, for every tenant.
    """
    from starter.cli.names import bad, tenant_name
    from starter.tokens import create_token

    tenant_id, scopes = tenant_name(tenant), _scopes(scope or [])
    if "admin" in scopes and tenant_id is not None:
        raise bad("tenant", "an admin is of no tenant: leave it out, or give scopes of a tenant")
    if "admin" not in scopes and tenant_id is None:
        raise bad("tenant", "whose token? Give --tenant NAME; only --scope admin has none")
    if len(note) > MOST_NOTE or not note.isprintable():
        raise bad("note", f"must be one line of at most {MOST_NOTE} characters")
    lives = _lives(expires)
    token, shown = create_token(_path(file), tenant_id, scopes, lives=lives, note=note, now=_now())
    if as_json:
        print_json({"token": shown, **token.as_json(_now())})
    else:
        _tell_new(token, shown)


def list_(
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the tokens of this tenant")
    ] = None,
    file: File = None,
    as_json: options.Json = False,
) -> None:
    """List the tokens, without what lets in."""
    from shared.token_file import load_tokens
    from starter.cli.names import tenant_name

    wanted, now = tenant_name(tenant), _now()
    tokens = [
        token
        for token in load_tokens(_path(file)).by_id.values()
        if wanted is None or token.tenant_id == wanted
    ]
    if as_json:
        print_json({"tokens": [token.as_json(now) for token in tokens]})
    elif not tokens:
        say("No tokens. `taskflow tokens create --tenant NAME --scope task:read` makes one.")
    else:
        _show(tokens, now)


def revoke(token_id: TokenId, file: File = None, as_json: options.Json = False) -> None:
    """Let a token in no more, from now on and for good."""
    from starter.tokens import revoke_token

    token, changed = revoke_token(_path(file), token_id, now=_now())
    if as_json:
        print_json({**token.as_json(_now()), "changed": changed})
    elif changed:
        say(f"{token.id} is revoked: it lets nobody in any more.")
    else:
        say(f"{token.id} was revoked already, at {_time(token.revoked_at)}.")


def rotate(
    token_id: TokenId,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old one still lets in")
    ] = "24h",
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION|never",
            help="How long the new one lives; as the old one if left out",
            show_default=False,
        ),
    ] = None,
    file: File = None,
    as_json: options.Json = False,
) -> None:
    """Make a token in the place of another, which ends after the overlap."""
    from starter.tokens import rotate_token

    still, lives = _length("overlap", overlap), None if expires is None else _lives(expires)
    rotated = rotate_token(_path(file), token_id, overlap=still, lives=lives, now=_now())
    if as_json:
        now = _now()
        new = {"token": rotated.shown, **rotated.new.as_json(now)}
        print_json({**new, "replaces": rotated.old.as_json(now)})
    else:
        _tell_new(rotated.new, rotated.shown)
        say(f"{rotated.old.id} lets in until {_time(rotated.old.expires_at)}.")


def _tell_new(token: "Token", shown: str) -> None:
    """The token alone on the first line, where a shell can take it from."""
    say(shown)
    whose = f"tenant {token.tenant_id}" if token.tenant_id else "every tenant"
    ends = f"until {_time(token.expires_at)}" if token.expires_at else "for ever"
    say(f"{token.id} is for {whose}, may {', '.join(token.scopes)}, and lets in {ends}.")
    say("It is shown this once, and kept nowhere.")


def _show(tokens: "list[Token]", now: datetime) -> None:
    from rich.text import Text

    from starter.cli.output import plain, print_trimmed, table

    rows = table("id", "tenant", "may", "state", "until (UTC)", "note", whole=("id", "state"))
    for token in tokens:
        state = token.state(now)
        until = token.revoked_at or token.expires_at
        rows.add_row(
            token.id,
            token.tenant_id or "(every one)",
            " ".join(token.scopes),
            Text(state, style="" if state == "active" else "dim"),
            f"{until:%Y-%m-%d %H:%M}" if until else "for ever",
            plain(token.note),
        )
    print_trimmed(console(), rows)


def _scopes(named: list[str]) -> list[str]:
    from domain.problems import shown
    from starter.callers import Scope
    from starter.cli.names import bad

    known = ", ".join(Scope)
    if not named:
        raise bad("scope", f"which? Give --scope, once or more, of {known}")
    for name in named:
        if name not in set(Scope):
            raise bad("scope", f"{shown(name)} is none of {known}")
    return named


def _lives(text: str) -> timedelta:
    from shared.tokens import FOR_EVER

    return FOR_EVER if text == "never" else _length("expires", text, least=timedelta(seconds=1))


def _length(option: str, text: str, *, least: timedelta = timedelta(0)) -> timedelta:
    from domain.duration import parse_duration
    from starter.cli.names import bad

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise bad(option, str(error)) from error
    if length < least:
        raise bad(option, f"must be {least / timedelta(seconds=1):g} s or longer")
    return length


def _path(named: Path | None) -> Path:
    from shared.settings import get_settings
    from starter.cli.names import bad

    path = named or get_settings().tokens_file
    if path is None:
        raise bad("file", "which? Set TASKFLOW_TOKENS_FILE, which the API reads too, or --file")
    return path


def _now() -> datetime:
    return datetime.now(UTC)


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "ever"
