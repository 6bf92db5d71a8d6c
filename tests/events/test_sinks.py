"""The sinks file: what is refused and how it is said, and what changes while a worker runs."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from domain.problems import InvalidInput
from domain.states import RunState
from shared.sinks import LiveSinks, load_sinks
from tests.events.harness import new_secret

GOOD: dict[str, Any] = {
    "name": "audit",
    "url": "https://audit.example/in?team=1",
    "secret_env": "AUDIT_SECRET",
}


@pytest.fixture(autouse=True)
def audit_secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """What `GOOD` needs."""
    secret = new_secret()
    monkeypatch.setenv("AUDIT_SECRET", secret)
    return secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sinks file, still to be written."""
    return tmp_path / "sinks.yaml"


def write(file: Path, *sinks: dict[str, Any]) -> None:
    """Sinks as the file's content; the time of the change is told apart from the one before."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(yaml.safe_dump({"sinks": list(sinks)}))
    os.utime(file, ns=(before + 10**9, before + 10**9))


def refused(file: Path, *sinks: dict[str, Any]) -> dict[str, str]:
    """The problems of a file with these sinks, by their paths."""
    write(file, *sinks)
    with pytest.raises(InvalidInput) as refusal:
        load_sinks(file)
    assert refusal.value.source == str(file)
    assert all(problem.line for problem in refusal.value.problems)
    return {problem.where: problem.message for problem in refusal.value.problems}


def test_a_sink_with_everything(file: Path, audit_secret: str) -> None:
    """What it says, and what it means when it says nothing."""
    (file.parent / "secret").write_text(f"{new_secret()}\n{new_secret()}\n")
    full = {"name": "all", "url": "http://127.0.0.1:9/x", "secret_file": "secret"} | {
        "tenants": ["acme"],
        "statuses": ["FAILED"],
        "retry_for": "1h",
        "timeout": "500ms",
    }
    write(file, GOOD, full)
    least, most = load_sinks(file)
    assert (least.sink.retry_for.total_seconds(), least.sink.timeout.total_seconds()) == (86400, 5)
    assert least.sink.listens_to("anybody")
    assert least.sink.wants(RunState.QUEUED)
    assert not most.sink.listens_to("beta")
    assert [s for s in RunState if most.sink.wants(s)] == [RunState.FAILED]
    assert (len(least.secrets), len(most.secrets)) == (1, 2)
    assert audit_secret[6:] not in repr([least, most])


def test_every_mistake_at_once_with_its_place(file: Path) -> None:
    """One look at the file is enough to mend it."""
    problems = refused(
        file,
        {"name": "No Name", "url": "ftp://x/", "secret_env": "A", "secret_file": "b"},
        GOOD | {"url": "https://ann:pass@x.example/", "retry_for": "5", "timeout": "2m"},
        GOOD | {"colour": "red", "tenants": [], "statuses": ["DONE"]},
        {"url": "https://x.example/"},
    )
    assert problems.keys() == {
        *("sinks[0]", "sinks[0].name", "sinks[0].url"),
        *("sinks[1].url", "sinks[1].retry_for", "sinks[1].timeout"),
        *("sinks[2].name", "sinks[2].colour", "sinks[2].tenants", "sinks[2].statuses[0]"),
        *("sinks[3]", "sinks[3].name"),
    }
    assert problems["sinks[0]"] == "has a secret_env and a secret_file: one of them is enough"
    assert problems["sinks[2].name"] == "is the name of sinks[1] too"
    assert problems["sinks[3]"] == "needs a secret_env or a secret_file"
    assert problems["sinks[2].colour"] == "is not a known key"
    assert "pass" not in problems["sinks[1].url"].replace("password", "")


@pytest.mark.parametrize("data", ["", "sinks: 5", "[]", "sinks: [5]", "sinks: {}", "other: []"])
def test_what_is_no_list_of_sinks_is_refused(file: Path, data: str) -> None:
    """In words."""
    file.write_text(data)
    with pytest.raises(InvalidInput):
        load_sinks(file)


@pytest.mark.parametrize(
    "url",
    [
        *("", "audit", "/audit", "http://", "https://", "file:///etc/passwd", "ftp://x/"),
        *("https://token@x.example/", "https://:hunter2@x.example/"),
    ],
)
def test_only_whole_urls_without_credentials(file: Path, url: str) -> None:
    """What is refused is not repeated: it may hold what nobody should read."""
    problems = refused(file, GOOD | {"url": url})
    assert problems.keys() == {"sinks[0].url"}
    for word in ("token", "hunter2"):
        assert word not in problems["sinks[0].url"]


def test_a_missing_secret_is_said_in_a_sentence(file: Path) -> None:
    """Which one, and where it was looked for; all that are missing at once."""
    problems = refused(
        file,
        GOOD | {"secret_env": "NOT_THERE"},
        {"name": "b", "url": "https://b.example/", "secret_file": "nowhere"},
    )
    assert problems == {
        "sinks[0].secret_env": "the environment variable NOT_THERE is not set",
        "sinks[1].secret_file": (
            f"the file {file.parent}/nowhere cannot be read: no such file or directory"
        ),
    }


@pytest.mark.parametrize("key", ["secret_env", "secret_file", "secret"])
def test_a_secret_in_the_file_itself_is_not_repeated(
    file: Path, key: str, audit_secret: str
) -> None:
    """Whoever puts it into the wrong place does not find it in a log."""
    other = {"name": "b", "url": "https://b.example/", key: audit_secret}
    problems = refused(file, other)
    assert audit_secret[6:] not in str(problems)
    assert any(where.endswith(key) for where in problems)


def test_a_wrong_secret_is_not_repeated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly the secret is as good as the secret."""
    monkeypatch.setenv("AUDIT_SECRET", "whsec_abcdefgh")
    [(where, message)] = refused(file, GOOD).items()
    assert where == "sinks[0].secret_env"
    assert message.startswith("the environment variable AUDIT_SECRET must be whsec_ and 24 to 64")
    assert "abcdefgh" not in message


def test_no_file_means_that_nobody_listens() -> None:
    """It costs nothing to have none."""
    assert LiveSinks(None).of("acme") == []
    assert LiveSinks(None).find("audit", "acme") is None


def test_a_worker_does_not_start_on_a_broken_file(file: Path) -> None:
    """There are no last good sinks yet."""
    with pytest.raises(InvalidInput):
        LiveSinks(file)


def test_a_changed_file_counts_and_a_broken_one_does_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good sinks stay, and one warning says what is wrong."""
    write(file, GOOD)
    sinks = LiveSinks(file)
    assert [s.name for s in sinks.of("acme")] == ["audit"]
    write(file, GOOD | {"name": "other", "tenants": ["beta"]})
    assert sinks.of("acme") == []
    assert sinks.find("other", "beta")
    assert sinks.find("other", "acme") is None

    write(file, GOOD | {"secret_file": "x"})
    with capture_logs() as lines:
        assert [s.name for s in sinks.of("beta")] == ["other"]
        assert [s.name for s in sinks.of("beta")] == ["other"]
    assert [line["action"] for line in lines] == ["sinks_refused"]
    assert sinks.warning is not None
    assert "sinks[0]" in sinks.warning

    second = {"name": "second", "url": "https://b.example/", "secret_file": "late"}
    write(file, GOOD, second)
    assert [s.name for s in sinks.of("beta")] == ["other"], "its secret is not there yet"
    (file.parent / "late").write_text(new_secret())
    monkeypatch.setattr("shared.live.time.monotonic", lambda: 1e12)
    assert [s.name for s in sinks.of("beta")] == ["audit", "second"]
    assert sinks.warning is None


def test_a_new_secret_in_its_file_counts(file: Path) -> None:
    """It is replaced without a word in the sinks file."""
    secret = file.parent / "secret"
    secret.write_text(new_secret())
    write(file, {"name": "a", "url": "https://a.example/", "secret_file": "secret"})
    sinks = LiveSinks(file)
    before = sinks.of("acme")[0]
    assert sinks.of("acme")[0] is before
    secret.write_text(f"{new_secret()} {new_secret()}")
    after = sinks.of("acme")[0]
    assert len(after.secrets) == 2
    assert after.secrets[0] != before.secrets[0]
