"""`taskflow codec`: keys are made and changed, and never shown."""

import pytest

from shared.codec_keys import load_keys
from tests.starter.harness import Cli


@pytest.fixture
def keys(cli: Cli) -> Cli:
    """A command line whose settings name a file of keys, which is not there yet."""
    cli.environment["TASKFLOW_CODEC_KEYS_FILE"] = str(cli.folder / "keys")
    return cli


def test_keys_change_in_two_steps(keys: Cli) -> None:
    """A new one decrypts until it is used; `plain` has none encrypt; the file can be named, too."""
    said = keys.ok("codec", "create", "2026-01")
    assert said.startswith("2026-01  encrypts\nRestart ")
    assert keys.json("codec", "add", "2026-07") == {
        "encrypts": "2026-01",
        "keys": ["2026-01", "2026-07"],
    }
    assert keys.json("codec", "use", "2026-07")["encrypts"] == "2026-07"
    assert keys.json("codec", "use", "plain")["encrypts"] is None
    shown = keys.ok("codec", "list", "--file", str(keys.folder / "keys"))
    assert shown.startswith("2026-07  decrypts only\n2026-01  decrypts only\nNothing new is")
    assert load_keys(keys.folder / "keys").ids == ["2026-07", "2026-01"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("create 2026-01", 1, "is there already"),
        ("add 2026-01", 1, "there is a key '2026-01' already"),
        ("add Key!", 1, "cannot be the id of a key"),
        ("use lost", 1, "there is no key 'lost': the file has 2026-01"),
        ("list --file missing", 2, "cannot be read"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    keys: Cli, arguments: str, code: int, said: str
) -> None:
    """And is said without a key."""
    keys.ok("codec", "create", "2026-01")
    before = (keys.folder / "keys").read_text()
    ended = keys.run("codec", *arguments.split())
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert (keys.folder / "keys").read_text() == before


def test_a_file_of_keys_that_is_wrong_stops_a_command(keys: Cli) -> None:
    """Before it reaches Temporal: nothing is written that others could not read."""
    (keys.folder / "keys").write_text("2026-01 hunter22\n")
    ended = keys.run("list")
    assert ended.code == 2
    assert "the key must be 32 bytes" in ended.err
    assert "hunter22" not in ended.err
