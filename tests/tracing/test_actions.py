"""Every line of ours names its action, and every action is documented."""

import pytest

from shared.settings import ROOT
from tests.tracing.actions import Logged, documented, logged, logged_in

PAGE = "docs/tracing.md"


def test_every_line_that_we_log_names_an_action() -> None:
    """Whoever searches logs searches for actions: texts may change."""
    assert len(logged()) > 60
    assert [one.place for one in logged() if not one.actions] == []


def test_the_actions_of_the_docs_are_those_of_the_source() -> None:
    """A new action goes into the table of docs/tracing.md, and one that is gone leaves it."""
    found = {action for one in logged() for action in one.actions}
    assert documented(ROOT / PAGE) == found


@pytest.mark.parametrize(
    ("line", "actions"),
    [
        ("log.info('said')", ()),
        ("log.info('said', extra={'reason': 1})", ()),
        ("workflow.logger.warning('said')", ()),
        ("log.info('said', action='a')", ("a",)),
        ("logger.error('said', extra={'action': 'a'})", ("a",)),
        ("log.log(10, 'said', action='a' if x else 'b')", ("a", "b")),
        ("log.info('said', action=f'{x}_refused')", ("*_refused",)),
        ("def say(what):\n    log.info('said', action=what)\nsay('a')\nsay('b')", ("a", "b")),
    ],
)
def test_a_line_is_found_however_it_is_written(line: str, actions: tuple[str, ...]) -> None:
    """What the tests above read the source with, on lines as ours are written."""
    [found] = logged_in(line, "here.py")
    assert found == Logged(f"here.py:{line.count('say(what)') + 1}", actions)


def test_what_is_no_logger_is_none() -> None:
    """`math.log` and a list's own `info` are not ours to judge."""
    assert list(logged_in("math.log(2)\nthings.info('x')", "here.py")) == []
