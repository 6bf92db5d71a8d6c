"""`codec`: the keys that encrypt what Temporal keeps. The commands change a file."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import print_json, say

if TYPE_CHECKING:
    from shared.codec_keys import KeyRing

KeyId = Annotated[
    str, typer.Argument(metavar="ID", help="The id of a key, such as 2026-01", show_default=False)
]
File = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The file of keys, if not TASKFLOW_CODEC_KEYS_FILE"),
]
RESTART = "Restart workers, API and whatever else has the file: they read it when they start."

group = typer.Typer(
    name="codec",
    help="Make the keys that encrypt what Temporal keeps.",
    epilog="Example: taskflow codec create 2026-01 --file /etc/taskflow/codec-keys",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""

    def example(text: str) -> str:
        return f"Example: taskflow codec {text}"

    group.command(epilog=example("create 2026-01"))(create)
    group.command(epilog=example("add 2026-07"))(add)
    group.command(epilog=example("use 2026-07"))(use)
    group.command("list", epilog=example("list"))(list_)
    app.add_typer(group)


def create(key_id: KeyId, file: File = None, as_json: options.Json = False) -> None:
    """Make a file with one key, which encrypts. Keep a copy: what it encrypted needs it."""
    from shared.codec_keys import create_keys

    _tell(create_keys(_path(file), key_id), as_json=as_json)


def add(key_id: KeyId, file: File = None, as_json: options.Json = False) -> None:
    """Add a key that decrypts only: the first half of a change of keys.

    Every process must have it before the first of them encrypts with it.
    """
    from shared.codec_keys import Key, change_keys

    _tell(change_keys(_path(file), lambda ring: ring.with_last(Key.new(key_id))), as_json=as_json)


def use(key_id: KeyId, file: File = None, as_json: options.Json = False) -> None:
    """Encrypt with a key from now on, or with none: `use plain`. All keys go on decrypting."""
    from shared.codec_keys import change_keys

    _tell(change_keys(_path(file), lambda ring: ring.with_first(key_id)), as_json=as_json)


def list_(file: File = None, as_json: options.Json = False) -> None:
    """List the ids of the keys, and never a key."""
    from shared.codec_keys import load_keys

    _tell(load_keys(_path(file)), as_json=as_json, changed=False)


def _tell(ring: "KeyRing", *, as_json: bool, changed: bool = True) -> None:
    first = ring.encrypts
    if as_json:
        print_json({"encrypts": first.key_id if first else None, "keys": ring.ids})
        return
    for key_id in ring.ids:
        say(f"{key_id}  {'encrypts' if first and key_id == first.key_id else 'decrypts only'}")
    if first is None:
        say("Nothing new is encrypted: `taskflow codec use ID` changes that.")
    if changed:
        say(RESTART)


def _path(named: Path | None) -> Path:
    from shared.settings import get_settings
    from starter.cli.names import bad

    path = named or get_settings().codec_keys_file
    if path is None:
        raise bad("file", "which file? Give --file FILE, or set TASKFLOW_CODEC_KEYS_FILE")
    return path
