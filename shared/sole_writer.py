"""Files that commands change: one command at a time, and never half of a file."""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import Refused

PATIENCE_SECONDS = 10.0
"""How long a command waits for another one that changes the file."""

_OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock beside the file. It stays: two could lock two files of the same name.

    Errors: `Refused` when another command has it for too long.
    """
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise Refused(
                        f"{lock} is held by another command for {PATIENCE_SECONDS:g} s: "
                        "nothing was changed"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """Whoever reads meanwhile finds all of the old or all of the new file.

    A new one is its owner's alone; one that exists keeps its owner and mode. Errors: `OSError`.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with suppress(FileNotFoundError):
                old = path.stat()
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # what was written must survive a power cut
    finally:
        os.close(folder)
