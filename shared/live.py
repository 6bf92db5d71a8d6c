"""Files that are read again when they change, and whose last good content stays in force."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from domain.problems import InvalidInput

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 10.0
"""After which refused content is looked at again: what it lacked may be in another file."""

Content = TypeVar("Content")
Stamp = tuple[int, ...] | None


class LiveFile(Generic[Content]):
    """The content of a file as it is now; asking costs one `stat` when nothing has changed.

    A file that became unreadable or wrong keeps the last good content; `warning` and the log say
    so.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Content],
        what: str,
        others: Callable[[Content], Iterable[Path]] = lambda _: (),
    ) -> None:
        """`what` the file holds, in a word; `others`: files that its content was made of too.

        Errors: `InvalidInput` of `load`, when there is no good content yet.
        """
        self._path, self._load, self._what, self._others = path, load, what, others
        self.warning: str | None = None
        self._again_at = 0.0
        stamp = _stamp_of(path)  # first: a change while the file is read is seen later
        self._content = load(path)
        self._seen = self._seen_with(stamp)

    def current(self) -> Content:
        """The newest good content."""
        if self._is_other():
            stamp = _stamp_of(self._path)
            try:
                self._content = self._load(self._path)
            except InvalidInput as error:
                self._refuse(error)
            else:
                self.warning = None
            self._seen = self._seen_with(stamp)
        return self._content

    def _is_other(self) -> bool:
        if self.warning and time.monotonic() >= self._again_at:
            return True
        return any(_stamp_of(path) != stamp for path, stamp in self._seen.items())

    def _seen_with(self, stamp: Stamp) -> dict[Path, Stamp]:
        return {path: _stamp_of(path) for path in self._others(self._content)} | {self._path: stamp}

    def _refuse(self, error: InvalidInput) -> None:
        self._again_at = time.monotonic() + AGAIN_SECONDS
        reason = f"{self._path}: {error}; the last good {self._what} stays in force"
        if reason != self.warning:
            self.warning = reason
            log.warning(f"{self._what} refused", action=f"{self._what}_refused", reason=reason)


def _stamp_of(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:
        return None
    # A file put in the place of another within a tick of the clock is another inode.
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
