"""Every fault of the catalogue has its proof, and the page says which."""

from pathlib import Path

from tests.faults.catalogue import PAGE, Proof, files_by_row, proofs, rows_of

LAST = 32


def test_every_row_is_proven_by_the_tests_that_the_page_names() -> None:
    """The rows are numbered from one; markers and table name the same files, and no other row."""
    rows = rows_of(PAGE.read_text())
    assert [row.number for row in rows] == list(range(1, LAST + 1))
    assert {row.number: set(row.proven_by) for row in rows} == files_by_row(proofs())


def test_markers_are_read_as_pytest_reads_them(tmp_path: Path) -> None:
    """Of a test and of its whole file; what one parameter of a test is does not count for it."""
    file = tmp_path / "test_it.py"
    file.write_text(
        "pytestmark = [pytest.mark.fault(2), pytest.mark.asyncio]\n"
        "@pytest.mark.soak\n@pytest.mark.fault(7, 1)\nasync def test_a(): ...\n"
        "@pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.soak)])\n"
        "def test_b(n): ...\n"
    )
    found = proofs(tmp_path)
    assert found == [
        Proof("test_it", "test_a", (1, 2, 7), soak=True),
        Proof("test_it", "test_b", (2,), soak=False),
    ]
    assert files_by_row(found) == {1: {"test_it (long)"}, 2: {"test_it"}, 7: {"test_it (long)"}}
