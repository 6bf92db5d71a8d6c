"""Reading the files that people name."""

from pathlib import Path

from domain.problems import InvalidInput, Problem

MAX_BYTES = 64 * 1024 * 1024


def read_text(path: Path) -> str:
    """The text of a file. Errors: `InvalidInput` with what the system said, in words."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput([Problem((), f"larger than {MAX_BYTES >> 20} MiB")], str(path))
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput([Problem((), "not UTF-8 text")], str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput([Problem((), f"cannot be read: {reason.lower()}")], str(path)) from error
