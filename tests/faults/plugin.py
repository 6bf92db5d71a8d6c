"""`make faults`: the tests of chosen rows, and at the end what became of each row.

A plugin of pytest, loaded by `-p tests.faults.plugin`; it works with several processes too.
"""

import os
from collections import defaultdict
from collections.abc import Generator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.catalogue import PAGE, TESTS, Row, proofs, rows_of
from tests.faults.seeds import SEED, new_seed

_ROWS, _DRAWS = "fault rows", "fault draws"
_CHOSEN = pytest.StashKey[AbstractSet[object]]()
_FILES = pytest.StashKey[set[Path]]()
_FAULT_WIDTH = 52


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rows 7,24`: tests of these rows only."""
    parser.addoption("--rows", default="", help="rows of docs/faults.md, with commas between")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose rows and seed before anything is collected, also for other processes.

    Errors: a row that there is not is a `UsageError`.
    """
    rows = rows_of(PAGE.read_text())
    known = {str(row.number): row.number for row in rows}
    said = [word.strip() for word in config.getoption("--rows").split(",") if word.strip()]
    if wrong := [word for word in said if word not in known]:
        message = f"{', '.join(wrong)}: there is no such row in docs/{PAGE.name}, 1 to {len(rows)}"
        raise pytest.UsageError(message)
    config.stash[_CHOSEN] = {known[word] for word in said} or set(known.values())
    chosen = config.stash[_CHOSEN]
    proving = (proof.file for proof in proofs() if chosen & set(proof.rows))
    config.stash[_FILES] = {TESTS / f"{file}.py" for file in proving}
    seed = os.environ[SEED] = os.environ.get(SEED) or str(new_seed())
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = seed
    config.pluginmanager.register(Rows(rows, seed))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is in no file of a chosen row need not be imported."""
    if collection_path.suffix != ".py" or collection_path in config.stash[_FILES]:
        return None
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what proves no row that was asked for."""
    left = [item for item in items if rows_of_test(item) & config.stash[_CHOSEN]]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


def rows_of_test(item: pytest.Item) -> set[int]:
    """The rows that a test is marked with."""
    return {row for mark in item.iter_markers("fault") for row in mark.args}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the rows on the report, which is all that comes from other processes."""
    report = yield
    draws = "chance" in getattr(item, "fixturenames", ())
    draws |= getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    rows = sorted(rows_of_test(item) & item.config.stash[_CHOSEN])
    report.user_properties = [*report.user_properties, (_ROWS, rows), (_DRAWS, draws)]
    return report


@dataclass(slots=True)
class Result:
    """What became of the tests of a row; `draws` when one of them draws what it does."""

    ended: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    draws: bool = False

    def add(self, report: pytest.TestReport) -> None:
        """One phase of a test, the worst of which is how it ended."""
        self.seconds += report.duration
        if self.ended.get(report.nodeid, "passed") == "passed":
            self.ended[report.nodeid] = report.outcome

    def counted(self) -> str:
        """How many tests ended in which way."""
        words = ("passed", "failed", "skipped")
        counts = {word: list(self.ended.values()).count(word) for word in words}
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


class Rows:
    """Adds reports up, and shows a line for each row."""

    def __init__(self, rows: list[Row], seed: str) -> None:
        self._faults = {row.number: row.fault for row in rows}
        self._seed = seed
        self.results: dict[int, Result] = defaultdict(Result)

    def pytest_report_header(self) -> str:
        """The seed stands there also when the test run is cut off."""
        return f"seed: {self._seed} (the same again: make faults SEED={self._seed})"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What tests share counts for the one that asks first."""
        said: dict[str, Any] = dict(report.user_properties)
        for row in said.get(_ROWS, ()):
            self.results[row].add(report)
            self.results[row].draws |= bool(said[_DRAWS])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table; the seed in the lines of those that draw."""
        show = terminalreporter.write_line
        terminalreporter.section("faults")
        show(f"row  {'fault':<{_FAULT_WIDTH}}  {'seconds':>7}  {'seed':<10}  tests")
        for row, result in sorted(self.results.items()):
            fault = self._faults[row].replace("`", "")
            short = fault if len(fault) <= _FAULT_WIDTH else f"{fault[: _FAULT_WIDTH - 3]}..."
            seed = self._seed if result.draws else "fixed"
            seconds = f"{result.seconds:7.1f}"
            show(f"{row:>3}  {short:<{_FAULT_WIDTH}}  {seconds}  {seed:<10}  {result.counted()}")
