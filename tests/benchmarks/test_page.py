"""The page of figures has what the benchmarks measure, and a command for what documents say."""

import json
import re
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import items, small
from benchmarks.cores import CORES, Core
from benchmarks.memory import PROCESSES
from benchmarks.page import BEGIN, END, MACHINE, PAGE, CannotMeasure, filled, tables_of
from benchmarks.scenarios import SCENARIOS
from benchmarks.tables import Table
from shared.settings import ROOT

TEXT = PAGE.read_text()
COMMANDS = TEXT.partition("## Each figure and its command")[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"python -m benchmarks(?:\.[a-z]+)*|make (?:bench|stress|simulate)\b")
FIGURE = re.compile(r"\d[\d.,]* (?:µs|ms|s|seconds|minutes|kB|MB|GB|%)(?!\w)")


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    """All tables of the page, as they come out where everything is one of its unit."""
    row: dict[str, Any] = {"runs": 8, "throughput": 1.0, "throughputs": [1.0], "ratio": 1.0}
    row |= {"ratios": [1.0], "events": 1, "workflow_tasks": 1, "payload_bytes": 1, "requests": 1.0}
    row |= {"requests_by_operation": {}, "cpu_ms": 1.0, "cpu_ms_by_process": {}, "python_ms": 1.0}
    row |= {f"{kind}_{cut}_ms": 1.0 for kind in ("alone", "burst") for cut in ("p50", "p99")}
    runs = [{**row, "name": one.name, "title": one.title} for one in SCENARIOS]
    cores = [
        {"name": core.name, "title": core.title, "item": core.item, "us": [1.0] * 3, "growth": 1.0}
        for core in CORES
    ]
    each = dict.fromkeys(PROCESSES, 1)
    kept = {"tasks": 1, "runs": 1, "idle_mb": each, "per_task_kb": each, "per_run_kb": each}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "ROUNDS", 1)
        parts = [asdict(part) for part in small.measure()]
    return tables_of(
        {"scenarios": runs, "alone": 1},
        {"items": cores, "sizes": [1_000, 10_000, 100_000]},
        kept,
        {"parts": parts},
    )


def test_the_page_has_every_table(tables: list[Table]) -> None:
    """With the columns and the rows that a measurement makes now: one that is new is measured."""
    for table in tables:
        place = measured(table.name)
        rows = [line.split(" | ") for line in place.splitlines() if line.startswith("| ")]
        names = [[cell.strip("| ") for cell in row] for row in rows]
        assert names[0] == list(table.heads), f"make bench: {table.name} has other columns"
        assert [row[0] for row in names[2:]] == [row[0] for row in table.rows], table.name
        for row in names[2:]:
            assert len(row) == len(table.heads)
    assert "Temporal server" in measured(MACHINE)


def test_what_stands_around_figures_stays(tables: list[Table]) -> None:
    """Written again, the page differs between its markers only, and written twice not at all."""
    texts = {table.name: table.markdown() for table in tables} | {MACHINE: "one core."}
    once = filled(TEXT, texts)
    assert once != TEXT
    assert filled(once, texts) == once
    assert outside(once) == outside(TEXT)


def test_a_page_without_a_place_is_told() -> None:
    """And nothing is written."""
    with pytest.raises(CannotMeasure, match=r"no place for lost: <!-- measured: lost -->"):
        filled(TEXT, {"lost": "a table"})


def test_every_command_that_documents_name_is_listed() -> None:
    """The list on the page says of what it gives figures, and it is there to be run."""
    named = {command for path in DOCUMENTS for command in COMMAND.findall(path.read_text())}
    assert "python -m benchmarks.watch" in named
    for command in sorted(named - {"python -m benchmarks.page"}):  # which writes the page
        assert f"`{command}`" in COMMANDS, f"{PAGE.name} does not say what {command} is for"
    for module in re.findall(r"python -m (benchmarks[.a-z]*)", COMMANDS):
        assert find_spec(module), module


def test_every_figure_of_the_readme_has_a_command() -> None:
    """Each time and size that its prose says is in the list of the page, beside a command."""
    figures = set(FIGURE.findall(prose(ROOT / "README.md")))
    assert figures
    lines = [line for line in COMMANDS.splitlines() if COMMAND.search(line)]
    for figure in sorted(figures):
        assert any(figure in line for line in lines), f"{PAGE.name}: which command gives {figure}?"


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_every_core_does_what_it_is_measured_by(core: Core) -> None:
    """Its work counts what it did, of few as of many."""
    assert core.prepare(10)() > 0


def test_items_are_measured_by_size(capsys: pytest.CaptureFixture[str]) -> None:
    """As many figures as there were sizes, and by how much an item costs more among many."""
    assert items.main(["--only", "queue", "--sizes", "20,10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sizes"] == [10, 20]
    assert [one["name"] for one in document["items"]] == ["queue"]
    for one in document["items"]:
        few, many = one["us"]
        assert min(few, many) > 0
        assert one["growth"] == pytest.approx(many / few, rel=0.05)


@pytest.mark.parametrize(
    ("option", "reason"),
    [(["--only", "queues"], "there is no queues: registration"), (["--sizes", "0"], "1 or more")],
)
def test_items_that_there_are_not_are_refused(
    option: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked for is checked before anything is measured."""
    with pytest.raises(SystemExit) as ended:
        items.main(option)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def measured(name: str) -> str:
    """What stands between the markers of one table."""
    begin = BEGIN.format(name=name)
    assert TEXT.count(begin) == 1, name
    return TEXT.partition(begin)[2].partition(END)[0]


def outside(text: str) -> list[str]:
    """The page without what was measured."""
    return [part.partition(END)[2] for part in text.split("<!-- measured:")[1:]]


def prose(path: Path) -> str:
    """A document without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
