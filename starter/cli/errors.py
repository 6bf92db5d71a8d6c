"""How every error ends: what a person or a tool reads, and the exit code. One place for all."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from pydantic import ValidationError

from domain.problems import InvalidInput, Problem, problems_of
from shared.errors import TaskflowError, TemporalUnreachable
from starter.cli.output import INTERRUPTED, plain

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
BROKEN_PIPE = 128 + 13

DEBUG = "TASKFLOW_DEBUG"
MOST_LINES = 100
"""Problems of one file on a screen."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exit code, the lines for standard error, and the `errors` of the JSON document."""

    code: int
    lines: Sequence[str]
    errors: Sequence[dict[str, Any]]


def report(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong and give back the exit code.

    With `as_json` standard output gets `{"errors": [{"path", "message", "line"?}]}` and standard
    error nothing: commands print their own document as their last act, so there is no other.
    """
    if isinstance(error, BrokenPipeError):  # the reader has left: nobody to tell
        # Python flushes standard output once more at exit, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    failure = failure_of(error)
    try:
        if as_json:
            sys.stdout.write(json.dumps({"errors": list(failure.errors)}, indent=2) + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write("".join(f"{plain(line)}\n" for line in failure.lines))
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
    except BrokenPipeError as broken:
        return report(broken, as_json=as_json)
    return failure.code


def failure_of(error: BaseException) -> Failure:
    """The error tree, read once."""
    match error:
        case InvalidInput():
            return _invalid(error)
        case ValidationError() if error.title == "Settings":
            return _invalid(_settings_problems(error))
        case TaskflowError():
            return _one(UNREACHABLE if isinstance(error, TemporalUnreachable) else REFUSED, error)
        case typer.TyperException():
            return _usage(error)
        case KeyboardInterrupt() | typer.Abort():
            return _one(INTERRUPTED, "interrupted")
    return _of_temporal(error) or _one(
        REFUSED,
        f"unexpected {type(error).__name__}: {_first_line(error)} "
        f"({DEBUG}=1 shows where it happened)",
    )


def _invalid(error: InvalidInput) -> Failure:
    lines = []
    for problem in error.problems:
        place = ":".join(filter(None, [error.source, str(problem.line or "")]))
        lines.append(": ".join(filter(None, [place, problem.where, problem.message])))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES:,} more: --json shows all"]
    if error.source:
        count = len(error.problems)
        lines.append(f"{count:,} problem{'s' if count > 1 else ''}: nothing was changed")
    return Failure(USAGE, lines, [problem.as_json() for problem in error.problems])


def _settings_problems(error: ValidationError) -> InvalidInput:
    """The same with the names of the environment variables that people set."""
    return InvalidInput(
        Problem((f"TASKFLOW_{problem.where.upper()}",), problem.message)
        for problem in problems_of(error)
    )


def _usage(error: typer.TyperException) -> Failure:
    """Click's own complaint about the command line, with where to read more."""
    message = error.format_message().replace("Value error, ", "")  # pydantic's, of a choice
    context = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    lines = [message]
    if context is not None:
        lines += [context.get_usage(), f"`{context.command_path} --help` says more"]
    path = str(getattr(parameter, "name", None) or "")
    return Failure(USAGE, lines, [{"path": path, "message": message}])


def _of_temporal(error: BaseException) -> Failure | None:
    """An RPC error that no command has put into words."""
    if "temporalio.service" not in sys.modules:
        return None
    from starter.rpc import temporal_errors  # noqa: PLC0415 - heavy, and loaded already

    try:
        with temporal_errors():
            raise error  # noqa: TRY301 - the block is what reads it
    except TaskflowError as known:
        return failure_of(known)
    except BaseException:  # noqa: BLE001 - not an RPC error: the caller words it
        return None


def _one(code: int, message: object) -> Failure:
    text = str(message)
    return Failure(code, [text], [{"path": "", "message": text}])


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:300]
