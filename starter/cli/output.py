"""Printing: one JSON document for tools, tables within 100 columns for people."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

INTERRUPTED = 128 + 2
"""Exit code of a command that Ctrl-C ended."""
PIPED_WIDTH = 100
LEAST_WIDTH = 20
_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
LEAST_COUNTED = 100
"""Fewer things than this are done before a progress bar is read."""


class _Console(Console):
    """A console that leaves a closed pipe to `cli.errors`."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Colours on a terminal only (and never with NO_COLOR); texts are shown as they are.

    Not a terminal: 100 columns wide, whatever terminal the process happens to be started from.
    """
    stream = sys.stderr if stderr else sys.stdout
    return _Console(
        stderr=stderr,
        width=None if stream.isatty() else PIPED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_json(document: dict[str, Any]) -> None:
    """The one document of a command; ASCII, so that no locale can break it."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def say(line: str, *, now: bool = False) -> None:
    """One unfolded line for people; `now` shows it before what comes takes its time."""
    sys.stdout.write(f"{plain(line)}\n")
    if now:
        sys.stdout.flush()


def print_item(screen: Console, text: str, *, indent: int, style: str = "") -> None:
    """A sentence in a list: folded under itself on a terminal, one line for a pipe."""
    text = plain(text)
    lines = [text]
    if screen.is_terminal:
        width = max(screen.width - indent, LEAST_WIDTH)
        lines = wrap(text, width, subsequent_indent="  ", **_WHOLE_WORDS)
    for line in lines:
        screen.print(Text(f"{' ' * indent}{line}", style=style), soft_wrap=True)


def print_beside(screen: Console, lead: Text, text: str) -> None:
    """A sentence beside what leads it: folded below its beginning, on one line for a pipe."""
    text = plain(text)
    lines = [text]
    if screen.is_terminal:
        lines = wrap(text, max(screen.width - lead.cell_len, LEAST_WIDTH), **_WHOLE_WORDS)
    for number, line in enumerate(lines or [""]):
        beside = lead if number == 0 else Text(" " * lead.cell_len)
        screen.print(Text.assemble(beside, line), soft_wrap=True)


def plain(text: str) -> str:
    """Text of others without what would steer a terminal; line ends and tabs become blanks."""
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def table(*columns: str, whole: Sequence[str] = ()) -> Table:
    """An empty table whose cells fold, so that what people copy from it is whole.

    Columns named in `whole` keep their width, and the others give way.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        header_style="bold",
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    return made


def print_trimmed(screen: Console, what: Table) -> None:
    """Print a table without the blanks that fill its last column."""
    with screen.capture() as captured:
        screen.print(what)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but a yes is a no.

    True without asking where nobody can answer: there, having named the option is the consent.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    # asyncio's handler would only mark the loop, which does not run while we wait for a line.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(f"{plain(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """A progress bar on standard error, when that is a terminal; else nothing at all."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _what, _count: lambda: None
        return
    from rich.progress import (  # noqa: PLC0415 - for terminals only
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=screen, transient=True) as bars:

        def total(what: str, count: int) -> Callable[[], None]:
            if count < LEAST_COUNTED:
                return lambda: None
            bar = bars.add_task(what, total=count)
            return lambda: bars.advance(bar)

        yield total
