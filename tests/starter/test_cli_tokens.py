"""`tokens` on the command line: what it prints, keeps and refuses. No Temporal is needed."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.token_file import LiveTokens, load_tokens
from starter.authentication import Bearer
from starter.callers import Unauthenticated
from tests.starter.harness import Cli

TOKEN = re.compile(r"tsk_([0-9a-f]{12})_[0-9a-f]{64}")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The binary in an empty folder, which will hold the tokens."""
    return Cli(tmp_path, {"TASKFLOW_TOKENS_FILE": "tokens.json"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of tokens."""
    return tmp_path / "tokens.json"


def made(cli: Cli, *arguments: str) -> Any:
    """The document of a new token of acme's that may read."""
    return cli.json("tokens", "create", "--tenant", "acme", "--scope", "task:read", *arguments)


async def test_a_token_is_printed_once_and_lets_in(cli: Cli, path: Path) -> None:
    """Alone on the first line; `list`, in words and as a document, never shows it again."""
    rights = ("--scope", "task:write", "--scope", "task:read", "--note", "console")
    said = cli.ok("tokens", "create", "--tenant", "acme", *rights)
    shown, about, once = said.splitlines()
    found = TOKEN.fullmatch(shown)
    assert found
    assert f"{found[1]} is for tenant acme, may task:read, task:write, and lets in" in about
    assert once == "It is shown this once, and kept nowhere."
    who = await Bearer(LiveTokens(path), None).caller(f"Bearer {shown}")
    assert (who.name, who.tenant_id) == (found[1], "acme")

    table, document = cli.ok("tokens", "list"), cli.ok("tokens", "list", "--json")
    digest = load_tokens(path).by_id[found[1]].sha256
    for text in (table, document):
        assert found[1] in text
        assert shown.rpartition("_")[2] not in text
        assert digest not in text
    assert "console" in table
    assert "active" in table


def test_a_new_token_is_a_document_of_a_fixed_shape(cli: Cli) -> None:
    """It lives ninety days unless something else is said; an admin's has no tenant."""
    document = made(cli)
    created, expires = (datetime.fromisoformat(document[key]) for key in _TIMES)
    assert expires - created == timedelta(days=90)
    assert TOKEN.fullmatch(document["token"])
    fixed = {key: value for key, value in document.items() if key not in (*_TIMES, "token", "id")}
    assert fixed == {
        "tenant_id": "acme",
        "scopes": ["task:read"],
        "revoked_at": None,
        "replaced_by": None,
        "note": "",
        "state": "active",
    }
    cli.environment["TASKFLOW_TENANT"] = "acme"  # an admin's token is not made a tenant's by it
    admin = cli.json("tokens", "create", "--scope", "admin", "--expires", "never")
    assert (admin["tenant_id"], admin["expires_at"]) == (None, None)
    listed = cli.json("tokens", "list")["tokens"]
    assert [token["id"] for token in listed] == [document["id"], admin["id"]]
    assert listed[0] == {key: value for key, value in document.items() if key != "token"}
    [own] = cli.json("tokens", "list", "--tenant", "acme")["tokens"]
    assert own["id"] == document["id"]
    assert "(every one)" in cli.ok("tokens", "list")


_TIMES = ("created_at", "expires_at")


async def test_revoking_and_rotating_change_who_is_let_in(cli: Cli, path: Path) -> None:
    """A process that runs follows: the old token ends with the overlap, a revoked one at once."""
    first = made(cli)
    door = Bearer(LiveTokens(path), None)
    second = cli.json("tokens", "rotate", first["id"], "--overlap", "1h")
    assert second["replaces"]["replaced_by"] == second["id"]
    for one in (first, second):
        assert (await door.caller(f"Bearer {one['token']}")).name == one["id"]
    third = cli.ok("tokens", "rotate", second["id"], "--overlap", "0s").splitlines()
    with pytest.raises(Unauthenticated, match="expired"):
        await door.caller(f"Bearer {second['token']}")
    assert third[-1].startswith(f"{second['id']} lets in until ")

    assert "lets nobody in any more" in cli.ok("tokens", "revoke", first["id"])
    with pytest.raises(Unauthenticated, match="revoked"):
        await door.caller(f"Bearer {first['token']}")
    assert "was revoked already, at " in cli.ok("tokens", "revoke", first["id"])
    assert (await door.caller(f"Bearer {third[0]}")).tenant_id == "acme"
    states = [token["state"] for token in cli.json("tokens", "list")["tokens"]]
    assert states == ["revoked", "expired", "active"]


def test_commands_at_once_lose_no_token(cli: Cli, path: Path) -> None:
    """Six processes at once, with one file."""
    with ThreadPoolExecutor(6) as threads:
        tokens = list(threads.map(lambda _: made(cli), range(6)))
    assert {token["id"] for token in tokens} == set(load_tokens(path).by_id)


_CREATE = ("create", "--tenant", "acme", "--scope", "task:read")


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("scope", ("create", "--tenant", "acme")),
        ("scope", ("create", "--tenant", "acme", "--scope", "task:raed")),
        ("scope", ("create", "--tenant", "acme", "--scope", "task:read task:write")),
        ("tenant", ("create", "--scope", "task:read")),
        ("tenant", ("create", "--tenant", "acme", "--scope", "admin")),
        ("tenant", ("create", "--tenant", "ACME", "--scope", "task:read")),
        ("expires", (*_CREATE, "--expires", "0s")),
        ("expires", (*_CREATE, "--expires", "90")),
        ("note", (*_CREATE, "--note", "two\nlines")),
        ("note", (*_CREATE, "--note", "x" * 201)),
        ("id", ("revoke", "123")),
        ("id", ("revoke", "tsk_" + "0" * 12 + "_" + "0" * 64)),
        ("overlap", ("rotate", "0" * 12, "--overlap", "never")),
    ],
)
def test_a_bad_value_is_exit_code_2_and_names_its_option(
    cli: Cli, path: Path, where: str, arguments: tuple[str, ...]
) -> None:
    """Nothing is written, and a token that was given for an id is not repeated."""
    ended = cli.run("tokens", *arguments, "--json")
    assert (ended.code, ended.err) == (2, "")
    [error] = ended.document["errors"]
    assert error["path"] == where
    assert not TOKEN.search(ended.out)
    assert not path.exists()


def test_what_is_not_there_is_exit_code_1(cli: Cli) -> None:
    """An unknown id, with the way to those that are known; and no tokens is no error."""
    assert "taskflow tokens create" in cli.ok("tokens", "list")
    for command in ("revoke", "rotate"):
        ended = cli.run("tokens", command, "0" * 12)
        assert (ended.code, ended.out) == (1, "")
        assert "`taskflow tokens list` shows all" in ended.err


def test_a_file_must_be_named_and_be_safe(cli: Cli, path: Path) -> None:
    """By the setting or the option; one that others may write is refused with the remedy."""
    made(cli, "--file", "other.json")
    assert not path.exists()
    other = path.with_name("other.json")
    other.chmod(0o666)
    ended = cli.run("tokens", "list", "--file", "other.json")
    assert ended.code == 2
    assert ended.err.startswith("other.json: others may write it: run `chmod go-w other.json`")
    cli.environment.pop("TASKFLOW_TOKENS_FILE")
    ended = cli.run("tokens", "list")
    assert ended.code == 2
    assert "TASKFLOW_TOKENS_FILE" in ended.err


def test_a_table_fits_100_columns(cli: Cli) -> None:
    """With everything as long as it may be."""
    scopes = [f"--scope={name}" for name in _SCOPES]
    cli.ok("tokens", "create", "--tenant", "n" * 64, *scopes, "--note", "x" * 200)
    said = cli.ok("tokens", "list")
    assert max(map(len, said.splitlines())) <= 100
    assert said.count("n" * 10) > 1


_SCOPES = ("task:read", "task:write", "task:operate", "event:publish")
