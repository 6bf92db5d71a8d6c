"""Bearer tokens: who is let in by the file as it is now, and what several commands leave of it."""

# ruff: noqa: ASYNC240 - small files, and nothing else that the loop has to do

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.problems import InvalidInput
from shared.errors import Refused, TaskflowError
from shared.settings import Settings
from shared.token_file import LiveTokens, change_tokens, load_tokens
from shared.tokens import FOR_EVER, Token, Tokens, TokenState, new_token
from starter.authentication import Anonymous, Bearer, authenticator_of
from starter.callers import Caller, Scope, Unauthenticated
from starter.tokens import create_token, revoke_token, rotate_token

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of tokens, still to be written."""
    return tmp_path / "tokens.json"


def create(
    path: Path,
    tenant: str | None = "acme",
    *scopes: str,
    lives: timedelta = DAY,
) -> tuple[Token, str]:
    """A token that begins at `NOW`."""
    return create_token(path, tenant, scopes or ["task:read"], lives=lives, note="", now=NOW)


async def caller(path: Path, shown: str, *, at: datetime = NOW) -> Caller:
    """Who a process that starts now takes the holder for."""
    return await Bearer(LiveTokens(path), None, lambda: at).caller(f"Bearer {shown}")


async def refusal(path: Path, shown: str, *, at: datetime = NOW) -> tuple[str, str]:
    """The code and the words with which the holder is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await caller(path, shown, at=at)
    return refused.value.code, str(refused.value)


async def test_the_holder_of_a_token_is_let_in_with_its_tenant_and_scopes(path: Path) -> None:
    """An admin's has no tenant; the caller's name is the token's id."""
    token, shown = create(path, "acme", "task:read", "event:publish")
    scopes = frozenset({Scope.TASK_READ, Scope.EVENT_PUBLISH})
    assert await caller(path, shown) == Caller(token.id, "acme", scopes)
    token, shown = create(path, None, "admin")
    assert await caller(path, shown) == Caller(token.id, None, frozenset({Scope.ADMIN}))


def test_the_file_is_its_owners_alone_and_holds_no_token(path: Path) -> None:
    """What is kept lets nobody in, whoever reads it."""
    token, shown = create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert shown.rpartition("_")[2] not in path.read_text()
    assert token.sha256 not in repr(token) + json.dumps(token.as_json(NOW))


async def test_a_wrong_secret_an_unknown_id_and_a_wrong_form_are_one_answer(path: Path) -> None:
    """Nobody learns which ids there are."""
    token, shown = create(path)
    _, other = new_token("acme", ["task:read"], now=NOW, lives=DAY)
    wrong = f"tsk_{token.id}_{other.rpartition('_')[2]}"
    answers = {
        await refusal(path, presented)
        for presented in (wrong, other, shown[:-1], f"{shown}0", shown.upper(), "tsk_", "x")
    }
    assert len(answers) == 1
    assert answers.pop()[0] == "token_invalid"


async def test_a_token_lets_in_until_the_instant_of_its_end(path: Path) -> None:
    """Then it is expired, and its holder is told so; one without an end goes on."""
    _, shown = create(path)
    _, endless = create(path, "acme", lives=FOR_EVER)
    last = await caller(path, shown, at=NOW + DAY - timedelta(microseconds=1))
    assert last.tenant_id == "acme"
    assert (await refusal(path, shown, at=NOW + DAY))[0] == "token_expired"
    assert (await caller(path, endless, at=NOW + 10_000 * DAY)).tenant_id == "acme"


async def test_a_revoked_token_lets_nobody_in_and_stays_revoked(path: Path) -> None:
    """Revoking again changes nothing, not even the time."""
    token, shown = create(path)
    assert revoke_token(path, token.id, now=NOW)[1]
    again, changed = revoke_token(path, token.id, now=NOW + DAY)
    assert (again.revoked_at, changed) == (NOW, False)
    assert (await refusal(path, shown))[0] == "token_revoked"
    assert again.state(NOW + 10 * DAY) is TokenState.REVOKED


async def test_both_tokens_of_a_rotation_let_in_until_the_overlap_is_over(path: Path) -> None:
    """The new one has the rights and the length of life of the old one."""
    token, shown = create(path, "acme", "task:write", "task:read", lives=30 * DAY)
    later = NOW + 2 * DAY
    rotated = rotate_token(path, token.id, overlap=timedelta(hours=1), lives=None, now=later)
    assert rotated.shown not in repr(rotated)
    end = later + timedelta(hours=1)
    for at in (later, end - timedelta(seconds=1)):
        old, new = await caller(path, shown, at=at), await caller(path, rotated.shown, at=at)
        assert (old.tenant_id, old.scopes) == (new.tenant_id, new.scopes)
    assert (await refusal(path, shown, at=end))[0] == "token_expired"
    assert rotated.new.expires_at == later + 30 * DAY
    assert (await caller(path, rotated.shown, at=end)).name == rotated.new.id


def test_a_rotation_never_lengthens_a_life_and_happens_once(path: Path) -> None:
    """Neither what is replaced nor what has ended is replaced (again)."""
    token, _ = create(path)
    rotated = rotate_token(path, token.id, overlap=9 * DAY, lives=FOR_EVER, now=NOW)
    assert rotated.old.expires_at == token.expires_at
    assert rotated.new.expires_at is None
    with pytest.raises(Refused, match=f"replaced already, by {rotated.new.id}"):
        rotate_token(path, token.id, overlap=DAY, lives=None, now=NOW)
    with pytest.raises(Refused, match="is expired"):
        rotate_token(path, token.id, overlap=DAY, lives=None, now=NOW + DAY)
    revoke_token(path, rotated.new.id, now=NOW)
    with pytest.raises(Refused, match="is revoked"):
        rotate_token(path, rotated.new.id, overlap=DAY, lives=None, now=NOW)


def test_commands_at_once_lose_nothing_and_readers_see_whole_files(path: Path) -> None:
    """Forty changes from eight threads, each with the lock; a reader never meets half a file."""
    first, _ = create(path)
    done = False

    def read() -> int:
        seen = 0
        while not done:
            count = len(load_tokens(path).by_id)
            assert count >= seen
            seen = count
        return seen

    with ThreadPoolExecutor(9) as threads:
        reader = threads.submit(read)
        made = list(threads.map(lambda _: create(path)[0].id, range(40)))
        revoke_token(path, first.id, now=NOW)
        done = True
        assert reader.result() > 0
    assert set(load_tokens(path).by_id) == {first.id, *made}
    assert sorted(os.listdir(path.parent)) == ["tokens.json", "tokens.json.lock"]


def test_a_change_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    """Nothing half-written, and nothing beside it."""
    create(path)
    before = path.read_bytes()

    def change(_: Tokens) -> tuple[Tokens, None]:
        raise Refused("no")

    with pytest.raises(Refused):
        change_tokens(path, change)
    assert path.read_bytes() == before
    with pytest.raises(TaskflowError, match="cannot be written: no such file or directory"):
        create(path.parent / "missing/tokens.json")


def test_a_file_keeps_its_mode_and_a_link_stays_one(path: Path) -> None:
    """Who gave the API's group the right to read, or linked to a volume, meant it."""
    create(path)
    path.chmod(0o640)
    link = path.with_name("link.json")
    link.symlink_to(path)
    create(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(load_tokens(path).by_id) == 2


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    """Whoever may add a line could let themselves in: neither the API nor a command goes on."""
    create(path)
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod go-w"):
        LiveTokens(path)
    with pytest.raises(InvalidInput, match="chmod go-w"):
        create(path)


def test_a_file_that_others_may_read_is_said_and_used(path: Path) -> None:
    """Digests of random tokens let nobody in."""
    create(path)
    path.chmod(0o644)
    with capture_logs() as logs:
        assert LiveTokens(path).current().by_id
    assert [line["action"] for line in logs] == ["tokens_readable"]


async def test_a_running_process_follows_its_file(path: Path) -> None:
    """Without one nobody is let in; then as it says, at the next request; broken, as it said."""
    with capture_logs() as logs:
        live = Bearer(LiveTokens(path), None, lambda: NOW)
        token, shown = new_token("acme", ["task:read"], now=NOW, lives=DAY)
        with pytest.raises(Unauthenticated):
            await live.caller(f"Bearer {shown}")
        assert [line["action"] for line in logs] == ["tokens_missing"]

        change_tokens(path, lambda tokens: (tokens.with_token(token), None))
        assert (await live.caller(f"Bearer {shown}")).name == token.id
        good = path.read_text()
        for broken in ("", "{", '{"tokens": [{}]}', "[]", good.replace('"acme"', "null")):
            path.write_text(broken)
            assert (await live.caller(f"Bearer {shown}")).name == token.id
            assert live.tokens
            assert str(path) in (live.tokens.warning or "")
        assert logs[-1]["action"] == "tokens_refused"

        path.write_text(good)
        revoke_token(path, token.id, now=NOW)
        with pytest.raises(Unauthenticated, match="revoked"):
            await live.caller(f"Bearer {shown}")
        path.unlink()
        with pytest.raises(Unauthenticated, match="not known"):
            await live.caller(f"Bearer {shown}")


async def test_a_file_of_the_same_size_and_time_is_another_file(path: Path) -> None:
    """Two changes within a tick of the clock are two."""
    tokens = [new_token("acme", ["task:read"], now=NOW, lives=DAY) for _ in range(2)]
    files = [path, path.with_name("other")]
    for file, (token, _) in zip(files, tokens, strict=True):
        file.write_text(Tokens.of([token]).text())
        file.chmod(0o600)
        os.utime(file, ns=(10**18, 10**18))
    assert files[0].stat().st_size == files[1].stat().st_size
    door = Bearer(LiveTokens(path), None, lambda: NOW)
    assert (await door.caller(f"Bearer {tokens[0][1]}")).name == tokens[0][0].id
    os.replace(files[1], path)
    assert (await door.caller(f"Bearer {tokens[1][1]}")).name == tokens[1][0].id


async def test_without_tokens_nobody_could_come_in_which_is_a_problem(path: Path) -> None:
    """For who asks whether the process is ready; one token is enough."""
    with capture_logs():
        door = Bearer(LiveTokens(path), None, lambda: NOW)
    assert "taskflow tokens create" in (await door.problem() or "")
    create(path)
    assert await door.problem() is None
    assert await Anonymous(None).problem() is None


def test_a_wrong_file_is_told_by_place(path: Path) -> None:
    """All problems at once; a process does not start with it."""
    token, _ = new_token("acme", ["task:read"], now=NOW, lives=DAY)
    good: dict[str, Any] = json.loads(Tokens.of([token]).text())["tokens"][0]
    wrong: list[tuple[dict[str, Any], str]] = [
        (good | {"sha256": "x" * 64}, "tokens[0].sha256"),
        (good | {"id": token.id + "\n"}, "tokens[0].id"),
        (good | {"tenant_id": "ACME"}, "tokens[0].tenant_id"),
        (good | {"tenant_id": None}, "tokens[0]"),
        (good | {"scopes": ["admin"]}, "tokens[0]"),
        (good | {"expires_at": "2027-01-01T00:00:00"}, "tokens[0].expires_at"),
        (good | {"secret": "x"}, "tokens[0].secret"),
    ]
    for entry, place in wrong:
        path.write_text(json.dumps({"tokens": [entry]}))
        path.chmod(0o600)
        with pytest.raises(InvalidInput) as refused:
            LiveTokens(path)
        assert [problem.where for problem in refused.value.problems] == [place]
        assert refused.value.source == str(path)
    path.write_text(json.dumps({"tokens": [good, good]}))
    with pytest.raises(InvalidInput, match="stands twice"):
        LiveTokens(path)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "credentials_missing"),
        ("", "credentials_malformed"),
        ("Bearer", "credentials_malformed"),
        ("Bearer  ", "credentials_malformed"),
        ("Basic dXNlcjpwYXNz", "credentials_malformed"),
        ("tsk_x", "credentials_malformed"),
        ("Bearer a b", "credentials_malformed"),
        ("Bearer \u0131", "credentials_malformed"),
        (f"Bearer {'x' * 16_384}", "credentials_malformed"),
        (f"Bearer {'x' * 16_000}", "token_invalid"),
        ("Bearer tsk_x", "token_invalid"),
    ],
)
async def test_what_is_no_bearer_credential_is_said_to_be_none(
    path: Path, authorization: str | None, code: str
) -> None:
    """Before anything is made of it."""
    create(path)
    with pytest.raises(Unauthenticated) as refused:
        await Bearer(LiveTokens(path), None).caller(authorization)
    assert refused.value.code == code


_known, _shown = new_token("acme", ["task:read"], now=NOW, lives=DAY)
_bearer = st.sampled_from(["Bearer ", "bearer\t", "Basic ", "Bearer  ", ""])
_text = st.text(st.characters(codec=None), max_size=80)


@settings(deadline=None)
@given(_bearer, st.one_of(_text, st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))))
@example("Bearer ", "tsk_" + "0" * 12 + "_" + "0" * 64)
@example("Bearer ", "tsk_\ud800")
@example("Bearer ", "\ud800.e30.")
@example("Bearer ", _shown + "\n")
@example("Bearer ", "x" * 100_000)
@example("Bearer ", _shown + ", Bearer " + _shown)
def test_no_header_breaks_anything_or_lets_in(scheme: str, rest: str) -> None:
    """Whatever is sent, the answer is that nobody is known to call."""
    tokens = _Known()
    for authorization in (scheme + rest, rest, None):
        with pytest.raises(Unauthenticated) as refused:
            asyncio.run(Bearer(tokens, None, lambda: NOW).caller(authorization))
        assert _shown not in str(refused.value)


class _Known(LiveTokens):
    """One token, without a file."""

    def __init__(self) -> None:
        """Nothing to read."""

    def current(self) -> Tokens:
        """That token."""
        return Tokens.of([_known])


async def test_the_scheme_is_read_whatever_its_letters_case(path: Path) -> None:
    """As HTTP has it."""
    token, shown = create(path)
    for text in (f"bearer {shown}", f"BEARER  {shown} ", f"  Bearer {shown}"):
        assert (await Bearer(LiveTokens(path), None, lambda: NOW).caller(text)).name == token.id


async def test_on_loopback_alone_everybody_may_come_in_and_the_log_says_so() -> None:
    """Such a caller may everything, by default for the tenant of the settings."""
    chosen = Settings(tenant="home", tokens_file=None, oidc_issuer=None)
    with capture_logs() as logs:
        local = authenticator_of(chosen, loopback=True)
    assert isinstance(local, Anonymous)
    assert [(line["action"], line["log_level"]) for line in logs] == [("anonymous", "warning")]
    somebody = await local.caller(None)
    assert (somebody.name, somebody.tenant(None)) == ("anonymous", "home")
    assert all(somebody.may(scope) for scope in Scope)
    with pytest.raises(TaskflowError, match="TASKFLOW_TOKENS_FILE"):
        authenticator_of(chosen, loopback=False)


async def test_with_a_file_of_tokens_nobody_is_anonymous_even_on_loopback(path: Path) -> None:
    """Even when the file is missing: a mistyped path opens nothing."""
    for loopback in (True, False):
        with capture_logs():
            closed = authenticator_of(Settings(tokens_file=path), loopback=loopback)
        for authorization in (None, "", "Bearer x", f"Bearer {_shown}"):
            with pytest.raises(Unauthenticated):
                await closed.caller(authorization)


async def test_a_scope_that_is_not_known_grants_nothing(path: Path) -> None:
    """Of a file from a newer version, say."""
    token, shown = create(path, "acme", "task:read", "task:everything")
    assert (await caller(path, shown)).scopes == {Scope.TASK_READ}
    assert token.scopes == ("task:everything", "task:read")
