"""The secrets that plugin and scheduler share: given as text, or in a file that may change."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.webhooks import Secret, parse_secrets

log = logging.getLogger(__name__)

Secrets = Callable[[], Sequence[Secret]]
"""Those that are in force now, the newest first."""


def secrets_of(given: str | Path | Sequence[str]) -> Secrets:
    """Text may hold several secrets with spaces or lines between them.

    Errors: `ValueError` for what is no secret, without it; `OSError` for a file that is not there.
    """
    if isinstance(given, Path):
        return SecretFile(given)
    try:
        fixed = parse_secrets(given if isinstance(given, str) else " ".join(given))
    except ValueError as error:
        raise ValueError(f"the secret {error}") from error
    return lambda: fixed


class SecretFile:
    """The secrets of a file, read again when it changes; a file that breaks changes nothing."""

    def __init__(self, path: Path) -> None:
        """Errors: `ValueError`, `OSError`."""
        self._path = path
        self._stamp = self._look()
        self._secrets = self._read()

    def __call__(self) -> Sequence[Secret]:
        """Those that are in force now."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._secrets = self._read()
            except (OSError, ValueError) as error:
                log.warning(
                    "%s; the last good secrets stay in force",
                    error,
                    extra={"action": "secrets_refused"},
                )
        return self._secrets

    def _look(self) -> tuple[int, ...] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino

    def _read(self) -> Sequence[Secret]:
        try:
            return parse_secrets(self._path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"{self._path} {error}") from error
