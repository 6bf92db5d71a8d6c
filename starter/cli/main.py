"""The `taskflow` command: its commands, and how every one of them ends.

Command modules import what they need inside their commands: Temporal's client and pydantic take
half a second to load, and `--help`, completion and `preview` work without some or all of it.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from typer.main import get_command

from starter.cli import (
    backfill,
    breakers,
    codec,
    files,
    forecast,
    inspect,
    processes,
    quota,
    runs,
    setup,
    sla_report,
    tasks,
    tokens,
    versions,
    why,
    work_orders,
)
from starter.cli.output import INTERRUPTED

app = typer.Typer(
    name="taskflow",
    help="Run plugin tasks on time, once, and explained. Temporal keeps all state.",
    epilog="Start here: `taskflow dev` runs everything on this machine; `taskflow demo` shows it.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # its help loads a Markdown and a syntax library: half a second
    pretty_exceptions_enable=False,
)
for module in (
    files,
    tasks,
    runs,
    backfill,
    forecast,
    why,
    quota,
    breakers,
    setup,
    inspect,
    processes,
):
    module.add_to(app)
sla_report.add_to(app)
work_orders.add_to(app)
codec.add_to(app)
tokens.add_to(app)
versions.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"taskflow {version('taskflow')}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give back its exit code; a process that met Temporal ends here."""
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    if "temporalio.client" in sys.modules:
        from shared.leave import leave  # noqa: PLC0415 - as above

        leave(code)
    return code


def _run(args: list[str]) -> int:
    """One command; whatever goes wrong ends in `cli.errors`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a letter shows its code
            stream.reconfigure(errors="backslashreplace")
    try:
        code = get_command(app).main(
            args=args or ["--help"], prog_name="taskflow", standalone_mode=False
        )
        if code == INTERRUPTED:  # Click has made a code of the interrupt, and told nobody
            return _report(KeyboardInterrupt(), args)
        sys.stdout.flush()
    except SystemExit as left:
        # Click ends the process itself when the reader of a pipe has left.
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        return _report(left.__context__, args)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can say it
        return _report(error, args)
    return code if isinstance(code, int) else 0


def _report(error: BaseException, args: Sequence[str]) -> int:
    from starter.cli.errors import report  # noqa: PLC0415 - pydantic, for errors only

    return report(error, as_json="--json" in args)
