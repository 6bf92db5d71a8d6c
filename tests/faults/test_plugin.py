"""What `make faults` counts for a row."""

from typing import Literal

import pytest

from tests.faults.catalogue import Row
from tests.faults.plugin import Rows


def report(
    test: str,
    outcome: Literal["passed", "failed", "skipped"],
    rows: list[int],
    when: Literal["setup", "call", "teardown"] = "call",
) -> pytest.TestReport:
    """One phase of a test, as the plugin has it."""
    return pytest.TestReport(
        nodeid=test,
        location=("", 0, ""),
        keywords={},
        outcome=outcome,
        longrepr=None,
        when=when,
        user_properties=[("fault rows", rows), ("fault draws", test == "draws")],
        duration=2,
    )


def test_a_test_ends_as_the_worst_of_its_phases_and_counts_for_each_of_its_rows() -> None:
    """A fixture that fails at the end is no proof; time is that of all phases."""
    rows = Rows([Row(number, "a fault", "it holds", ()) for number in (1, 2)], "7")
    for phase, outcome in (("setup", "passed"), ("call", "passed"), ("teardown", "failed")):
        rows.pytest_runtest_logreport(report("breaks", outcome, [1, 2], phase))  # type: ignore[arg-type]
    rows.pytest_runtest_logreport(report("draws", "passed", [2]))
    rows.pytest_runtest_logreport(report("left", "skipped", [2], "setup"))
    one, two = (rows.results[number] for number in (1, 2))
    assert (one.counted(), one.seconds, one.draws) == ("1 failed", 6, False)
    assert (two.counted(), two.seconds, two.draws) == ("1 passed, 1 failed, 1 skipped", 10, True)
