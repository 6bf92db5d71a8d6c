"""A table of figures, for a terminal and for a page."""

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under their heads, a legend below; `name` is what a page knows it by."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    legend: tuple[str, ...]

    def show(self, console: Console) -> None:
        """Print it; the first column is text, all others are figures."""
        table = RichTable(title=self.title, box=SIMPLE_HEAD, padding=0)
        first, *others = self.heads
        table.add_column(first, no_wrap=True)
        for head in others:
            table.add_column(head, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        if self.legend:
            console.print("\n".join(self.legend), style="dim", highlight=False)

    def markdown(self) -> str:
        """The same as lines of a page; they end without a line break."""
        _, *others = self.heads
        lines = [self.heads, ("---", *("--:" for _ in others)), *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts = [f"{self.title}.", table, "\n".join(self.legend)]
        return "\n\n".join(part for part in parts if part)
