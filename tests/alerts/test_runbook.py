"""The runbook: a section for each alert, and commands that can be typed as they stand."""

import re
import shlex
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from shared.settings import ROOT
from starter.cli.main import app
from tests.alerts.shipped import DASHBOARD, alerts

RUNBOOK = ROOT / "docs/runbook.md"
PARTS = ("Meaning", "Checks", "Mitigation", "Verification")


def sections() -> dict[str, str]:
    """Sections of alerts, by title."""
    found = re.split(r"^## (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    texts = dict(zip(found[::2], found[1::2], strict=True))
    return {title: text for title, text in texts.items() if title != "In the first minute"}


def commands(text: str) -> list[str]:
    """Every `taskflow` command of a text, in blocks and in sentences, without its comment."""
    found = re.findall(r"(?:^\$ |`)(taskflow [a-z][^\n`#]*)", text, re.MULTILINE)
    return [command.strip() for command in found]


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """The address that an alert gives leads to the section of its name."""
    assert list(sections()) == [name for name in sections() if name in alerts()]
    assert set(sections()) == set(alerts())
    for name, alert in alerts().items():
        file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert ROOT / file == RUNBOOK
        assert anchor == name.lower()


@pytest.mark.parametrize("part", PARTS)
def test_every_section_says_what_it_must(part: str) -> None:
    """Meaning, checks, mitigation and verification, in this order, and at least three checks."""
    for title, text in sections().items():
        [_, said] = text.split(f"**{part}.**")
        assert len(said.strip()) > 40, title
        assert [p for p in PARTS if f"**{p}.**" in said] == list(PARTS[PARTS.index(part) + 1 :])
        if part == "Checks":
            block = said.partition("```console\n")[2].partition("```")[0]
            checks = [line for line in block.splitlines() if line.startswith("$ taskflow ")]
            assert len(set(checks)) >= 3, title


def test_every_command_can_be_typed_as_it_stands() -> None:
    """Command, arguments and options are taken by the command line's own parser."""
    said = set(commands(RUNBOOK.read_text()))
    assert len(said) > 30
    for command in sorted(said):
        _understood(shlex.split(command)[1:], command)


@pytest.mark.parametrize(
    "command", ["taskflow lift", "taskflow runs --since-when 1h", "taskflow runs --status broken"]
)
def test_a_command_that_is_wrong_is_found(command: str) -> None:
    """So that the test above can fail."""
    with pytest.raises(pytest.fail.Exception, match="not a command"):
        _understood(shlex.split(command)[1:], command)


def _understood(arguments: list[str], said: str) -> None:
    found: Any = get_command(app)
    context = typer.Context(found, info_name="taskflow")
    name: str | None = "taskflow"
    try:
        while isinstance(found, TyperGroup) and (arguments or not found.invoke_without_command):
            name, found, arguments = found.resolve_command(context, arguments)
            if isinstance(found, TyperGroup):
                context = typer.Context(found, info_name=name, parent=context)
        named_only = not arguments and any(each.required for each in found.params)
        if not named_only:  # a sentence may name a command: "`taskflow why` says"
            found.make_context(name, arguments, parent=context)
    except typer.Exit:  # --help has said what it has to say
        return
    except TyperException as error:
        pytest.fail(f"`{said}` is not a command: {error}")


def test_links_inside_lead_to_sections() -> None:
    """Of this page, and of those that it points into."""
    text = RUNBOOK.read_text()
    links = re.findall(r"\]\(([^)#]*)#([^)]+)\)", text)
    assert links
    for page, anchor in links:
        headings = re.findall(
            r"^#+ (.+)$", (RUNBOOK.parent / page if page else RUNBOOK).read_text(), re.MULTILINE
        )
        anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert anchor in anchors, f"{page}#{anchor}"


def test_panels_that_the_runbook_names_are_on_the_dashboard() -> None:
    """What is said to be on the dashboard is found there under that name."""
    said = re.findall(
        r"\"([A-Z][A-Za-z ]+)\"(?= on the dashboard| at | falls)", RUNBOOK.read_text()
    )
    assert len(said) >= 8
    for title in said:
        assert f'"title": "{title}"' in DASHBOARD.read_text(), title
