"""The policy file on disk: read when it changes, never on a run's time."""

from pathlib import Path

import structlog

from domain.document import parse_yaml
from domain.governor import Degraded
from domain.policy import Policy, read_policy
from domain.problems import InvalidInput
from domain.task import Flags
from shared.files import read_text

log = structlog.get_logger(__name__)


def load_policy(path: Path) -> Policy:
    """The policy in a file. Errors: `InvalidInput` with every problem, its source the path."""
    try:
        return read_policy(parse_yaml(read_text(path)))
    except InvalidInput as error:
        raise InvalidInput(error.problems, str(path)) from error


class LivePolicy:
    """What workers ask of the policy as its file says it now; flags of the environment come first.

    A file that became unreadable or wrong keeps the last good policy; `warning` and the log say so.
    """

    def __init__(self, path: Path, overrides: dict[str, bool]) -> None:
        self._path = path
        self._overrides = overrides
        self._stamp = self._read_stamp()  # first: a change while the file is read is seen later
        self._policy = load_policy(path)
        self.warning: str | None = None

    def of(self, tenant_id: str) -> Flags:
        """The tenant's flags; costs one `stat` when the file has not changed."""
        return self._current().flags_of(tenant_id, self._overrides)

    def degraded_of(self, tenant_id: str) -> Degraded:
        """What the tenant's runs do while nobody can decide whether they may go."""
        return self._current().degraded_of(tenant_id)

    def _current(self) -> Policy:
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._policy = load_policy(self._path)
                self.warning = None
            except InvalidInput as error:
                self.warning = f"{self._path}: {error}; the last good policy stays in force"
                log.warning("policy refused", action="policy_refused", reason=self.warning)
        return self._policy

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size
