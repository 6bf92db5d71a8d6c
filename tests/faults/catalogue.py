"""The faults of docs/faults.md, and the tests that are marked as proving them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.settings import ROOT

PAGE = ROOT / "docs/faults.md"
TESTS = ROOT / "tests"
SOAK = " (long)"
"""What the page says behind a file whose proofs of a row all take minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault; `proven_by` are files of tests, without `tests/` and `.py`."""

    number: int
    fault: str
    holds: str
    proven_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that is marked with rows; `soak` when none of it is in `make test`."""

    file: str
    test: str
    rows: tuple[int, ...]
    soak: bool


def rows_of(page: str) -> list[Row]:
    """The lines of the page's table, in its order."""
    lines = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    return [
        Row(int(number), fault, holds, tuple(proofs.split(", ")))
        for number, fault, holds, proofs in lines
    ]


def proofs(folder: Path = TESTS) -> list[Proof]:
    """All tests that are marked, by their source: nothing is imported."""
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        if "mark.fault(" in (text := path.read_text()):
            file = str(path.relative_to(folder).with_suffix(""))
            found += list(_proofs_in(file, ast.parse(text)))
    return found


def files_by_row(found: list[Proof]) -> Mapping[int, set[str]]:
    """What the table must say of each row."""
    long: dict[int, dict[str, bool]] = defaultdict(dict)
    for proof in found:
        for row in proof.rows:
            long[row][proof.file] = long[row].get(proof.file, True) and proof.soak
    return {
        row: {file + SOAK * only_soak for file, only_soak in files.items()}
        for row, files in long.items()
    }


def _proofs_in(file: str, module: ast.Module) -> Iterator[Proof]:
    whole = next(
        (
            list(_marks([node.value]))
            for node in module.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        ),
        [],
    )
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        marks = [*whole, *_marks(node.decorator_list)]
        rows = sorted({row for name, said in marks if name == "fault" for row in said})
        if rows:
            soak = any(name == "soak" for name, _ in marks)
            yield Proof(file, node.name, tuple(rows), soak)


def _marks(expressions: list[ast.expr]) -> Iterator[tuple[str, list[int]]]:
    """Names of marks and their arguments; those of single parameters are not of the test."""
    for one in expressions:
        if isinstance(one, ast.List):
            yield from _marks(one.elts)
        called = one.func if isinstance(one, ast.Call) else one
        if ast.unparse(called).startswith("pytest.mark."):
            said = one.args if isinstance(one, ast.Call) else []
            numbers = [arg.value for arg in said if isinstance(arg, ast.Constant)]
            rows = [number for number in numbers if isinstance(number, int)]
            yield ast.unparse(called).removeprefix("pytest.mark."), rows
