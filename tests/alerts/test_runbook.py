"""The runbook: a section for each alert, links that lead somewhere, panels that are there."""

import re

import pytest

from shared.settings import ROOT
from tests.alerts.shipped import DASHBOARD, alerts

RUNBOOK = ROOT / "docs/runbook.md"
PARTS = ("Meaning", "Checks", "Mitigation", "Verification")


def sections() -> dict[str, str]:
    """Sections of alerts, by title."""
    found = re.split(r"^## (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    texts = dict(zip(found[::2], found[1::2], strict=True))
    return {title: text for title, text in texts.items() if title != "In the first minute"}


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
