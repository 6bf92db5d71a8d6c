"""`python -m benchmarks.page [--quick] [--out FILE]`: all tables of `docs/benchmarks.md`.

Each is measured by a process of its own, one after the other. They are printed, and put into the
page between its markers; what stands around them is left as it is. `--quick` takes few of
everything and writes nothing unless `--out` says where.

Exit codes: 0 measured and written; 1 when a measurement failed, which leaves the page as it was.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import items, memory, report, small
from benchmarks.machine import Machine
from benchmarks.summary import Summary
from benchmarks.tables import Table
from shared.settings import ROOT

PAGE = ROOT / "docs/benchmarks.md"
MACHINE = "machine"
BEGIN, END = "<!-- measured: {name} -->", "<!-- end -->"
COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("benchmarks", ("--runs", "20", "--rounds", "2", "--alone", "5")),
    ("benchmarks.items", ("--sizes", "1000,10000")),
    ("benchmarks.memory", ("--tasks", "100", "--runs", "100")),
    ("benchmarks.small", ()),
)
"""What is run, and how when it is to be quick."""


class CannotMeasure(Exception):  # noqa: N818 - reads as what happened
    """A measurement ended otherwise than well; the text is what it said."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write."""
    given = _parser().parse_args(arguments)
    out = given.out or (None if given.quick else PAGE)
    try:
        documents = (_measured(*command, quick=given.quick) for command in COMMANDS)
        runs, cores, kept, parts = documents
        machine = report.named(Machine(**runs["machine"]))
        tables = tables_of(runs, cores, kept, parts)
        console = Console(width=100)
        for table in tables:
            table.show(console)
        console.print(machine, highlight=False)
        if out:
            texts = {table.name: table.markdown() for table in tables} | {MACHINE: f"{machine}."}
            out.write_text(filled(PAGE.read_text(), texts))
            console.print(f"written to {out}")
    except CannotMeasure as error:
        sys.stderr.write(f"benchmarks.page: {error}\n")
        return 1
    return 0


Said = dict[str, Any]


def tables_of(runs: Said, cores: Said, kept: Said, parts: Said) -> list[Table]:
    """The tables of the documents of all measurements, in the order of the page."""
    summaries = [Summary(**row) for row in runs["scenarios"]]
    found = [items.Measured(**one) for one in cores["items"]]
    return [
        report.speed(summaries, runs["alone"]),
        report.cost(summaries),
        memory.table(kept),
        items.table(found, cores["sizes"]),
        small.table([small.Part(**part) for part in parts["parts"]]),
    ]


def filled(page: str, texts: dict[str, str]) -> str:
    """The page with each text between its markers.

    Errors: `CannotMeasure` when the page has no place for one.
    """
    for name, text in texts.items():
        begin = BEGIN.format(name=name)
        before, found, rest = page.partition(f"{begin}\n")
        _, ended, after = rest.partition(END)
        if not found or not ended:
            raise CannotMeasure(f"{PAGE.name} has no place for {name}: {begin} and then {END}")
        page = f"{before}{found}{text}\n{ended}{after}"
    return page


def _measured(module: str, quickly: Sequence[str], *, quick: bool) -> Any:
    """The document that a measurement prints. It says itself how far it is, where it is told to."""
    sys.stderr.write(f"python -m {module} ...\n")
    command = [sys.executable, "-m", module, "--json", *(quickly if quick else ())]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise CannotMeasure(f"python -m {module} ended with {done.returncode}")
    return json.loads(done.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page", description="All tables of docs/benchmarks.md."
    )
    parser.add_argument("--quick", action="store_true", help="few of everything, only printed")
    parser.add_argument("--out", type=Path, help="the file to write instead of docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
