"""The secrets that are shared with the plugin runtime, as their file says them now."""

from pathlib import Path

from domain.problems import InvalidInput, Problem
from shared.files import read_text
from shared.live import LiveFile
from shared.webhooks import Secret, parse_secrets


def load_secrets(path: Path) -> tuple[Secret, ...]:
    """The secrets of a file, the newest first. Errors: `InvalidInput`, without what was read."""
    try:
        return parse_secrets(read_text(path))
    except ValueError as error:
        raise InvalidInput([Problem((), str(error))], str(path)) from error


class PluginSecrets:
    """They sign calls of plugins and prove their reports; none when there is no file.

    The file may change while the process runs. One that became unreadable or wrong leaves the last
    good secrets in force; `warning` and the log say so.
    """

    def __init__(self, path: Path | None) -> None:
        """Errors: `InvalidInput` for a file that is missing or wrong."""
        self._file = LiveFile(path, load_secrets, "plugin_secrets") if path else None

    @property
    def warning(self) -> str | None:
        """What is wrong with the file as it is now."""
        return self._file.warning if self._file else None

    def __call__(self) -> tuple[Secret, ...]:
        """Those that are in force now."""
        return self._file.current() if self._file else ()
