"""`preview`, `--help` and `--version`: the commands that need no server."""

import subprocess
import sys
from pathlib import Path

import pytest

from starter.cli.main import app
from tests.starter.harness import Cli


@pytest.fixture
def offline(tmp_path: Path) -> Cli:
    """A command line whose Temporal is nowhere."""
    return Cli(tmp_path, {"TEMPORAL_ADDRESS": "127.0.0.1:1"})


def test_preview_prints_one_document_with_utc_times(offline: Cli) -> None:
    """The document has the expression, its zone, words for it and the times after `--after`."""
    document = offline.json(
        *("preview", "0 2 * * 1-5", "--timezone", "Asia/Shanghai"),
        *("--after", "2026-11-20T18:00:00Z", "--count", "3"),
    )

    assert document["cron"] == "0 2 * * 1-5"
    assert document["timezone"] == "Asia/Shanghai"
    assert "02:00" in document["description"]
    assert document["times"] == [
        "2026-11-22T18:00:00Z",
        "2026-11-23T18:00:00Z",
        "2026-11-24T18:00:00Z",
    ]


def test_preview_shows_people_the_clock_of_the_zone_and_utc(offline: Cli) -> None:
    """Each line has the local time, the same in UTC and how far off it is."""
    out = offline.ok(
        "preview", "0 2 * * *", "-z", "Asia/Shanghai", "-n", "1", "--after", "2030-01-01T00:00:00Z"
    )

    assert "2030-01-02 02:00 +08:00 (18:00 UTC, in " in out


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["preview", "0 25 * * *"], "cron"),
        (["preview", "0 0 30 2 *"], "cron"),
        (["preview", "0 2 * * *", "--timezone", "Mars/Base"], "timezone"),
        (["preview", "0 2 * * *", "--after", "tomorrow"], "after"),
        (["preview", "0 2 * * *", "--count", "0"], "count"),
        (["preview"], "cron"),
    ],
)
def test_a_refused_preview_names_what_is_wrong(
    offline: Cli, arguments: list[str], path: str
) -> None:
    """Exit code 2, and with --json one document of errors with their places."""
    ended = offline.run(*arguments, "--json")

    assert (ended.code, ended.err) == (2, "")
    [error] = ended.document["errors"]
    assert error["path"] == path
    assert error["message"]


def test_every_command_has_help_with_an_example(offline: Cli) -> None:
    """--help of each command says what it does and shows one call of it."""
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]

    assert len(names) > 10
    overview = offline.ok("--help")
    for name in names:
        assert f"  {name}" in overview
    assert all(
        f"taskflow {name}" in (command.epilog or "")
        for name, command in zip(names, app.registered_commands, strict=True)
    )
    assert "Example: taskflow plan" in offline.ok("plan", "--help")


def test_help_and_preview_load_no_temporal_client() -> None:
    """What needs no server starts without the half second that its client costs."""
    code = (
        "import sys; from starter.cli.main import main; main({!r});"
        "sys.exit('temporalio' in sys.modules)"
    )
    for arguments in (["--help"], ["preview", "0 2 * * *"]):
        command = [sys.executable, "-c", code.format(arguments)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_version_is_that_of_the_package(offline: Cli) -> None:
    """One line: the program and its version."""
    assert offline.ok("--version").startswith("taskflow 0.")


def test_completion_offers_the_commands(offline: Cli) -> None:
    """A shell that asks for `taskflow re<TAB>` gets the commands that begin so."""
    ended = offline.run(
        _TASKFLOW_COMPLETE="complete_bash", COMP_WORDS="taskflow re", COMP_CWORD="1"
    )

    assert ended.out.split() == ["register", "resume"]
