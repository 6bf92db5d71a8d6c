"""The file of bearer tokens on disk: changed by one command at a time, read by the API as it is."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from domain.problems import InvalidInput, Problem
from shared.errors import TaskflowError
from shared.files import read_text
from shared.live import LiveFile
from shared.sole_writer import alone, replace_file
from shared.tokens import Tokens

log = structlog.get_logger(__name__)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Result = TypeVar("Result")


def load_tokens(path: Path) -> Tokens:
    """The tokens of a file; none where there is no file.

    Errors: `InvalidInput` for a file that cannot be read, is wrong, or that others may write: who
    can add a line to it can let themselves in.
    """
    mode = _mode_of(path)
    if mode is None:
        return Tokens({})
    if mode & _OTHERS_WRITE:
        raise _refused(path, f"others may write it: run `chmod go-w {path}`")
    try:
        return Tokens.parse(read_text(path))
    except InvalidInput as error:
        raise InvalidInput(error.problems, str(path)) from error


class LiveTokens:
    """The tokens as their file says them now; asking costs one `stat` when it has not changed.

    A file that became wrong keeps the last good tokens, which `warning` and the log say; without a
    file there are none.
    """

    def __init__(self, path: Path) -> None:
        """Errors: `InvalidInput` for a file that is wrong."""
        self._file = LiveFile(path, _load_and_warn, "tokens")

    @property
    def warning(self) -> str | None:
        """What is wrong with the file as it is now."""
        return self._file.warning

    def current(self) -> Tokens:
        """The newest good tokens."""
        return self._file.current()


def change_tokens(path: Path, change: Callable[[Tokens], tuple[Tokens, Result]]) -> Result:
    """Put what `change` makes of the tokens in their place, and give back what it gives.

    Whoever reads meanwhile finds all of the old or all of the new file. A new file is its owner's
    alone; one that exists keeps its owner and mode.
    Errors: those of `load_tokens` and `change`, with which nothing is written; `TaskflowError`
    when the file cannot be written; `Refused` when another command is at it for too long.
    """
    path = Path(os.path.realpath(path))  # a link stays one, and leads to the new file
    try:
        with alone(path):
            before = load_tokens(path)
            after, result = change(before)
            if after != before:
                replace_file(path, after.text())
            return result
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TaskflowError(f"{path} cannot be written: {reason}; nothing was changed") from error


def _load_and_warn(path: Path) -> Tokens:
    tokens = load_tokens(path)
    mode = _mode_of(path)
    if mode is None:
        log.warning("no file of tokens", action="tokens_missing", path=str(path))
    elif mode & stat.S_IROTH:
        # Its digests let nobody in, and mounted files are often so: no reason to let nobody in.
        log.warning("others may read the tokens", action="tokens_readable", path=str(path))
    return tokens


def _mode_of(path: Path) -> int | None:
    """Permissions; None when there is no such file. Errors: `InvalidInput`."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(path, f"cannot be read: {reason.lower()}") from error


def _refused(path: Path, message: str) -> InvalidInput:
    return InvalidInput([Problem((), message)], str(path))
