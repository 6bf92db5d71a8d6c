"""The policy file on disk: read when it changes, never on a run's time."""

from pathlib import Path

from domain.document import parse_yaml
from domain.governor import Degraded
from domain.policy import Policy, read_policy
from domain.problems import InvalidInput
from domain.task import Flags
from shared.files import read_text
from shared.live import LiveFile


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
        self._overrides = overrides
        self._file = LiveFile(path, load_policy, "policy")

    @property
    def warning(self) -> str | None:
        """What is wrong with the file as it is now."""
        return self._file.warning

    def of(self, tenant_id: str) -> Flags:
        """The tenant's flags; costs one `stat` when the file has not changed."""
        return self._file.current().flags_of(tenant_id, self._overrides)

    def degraded_of(self, tenant_id: str) -> Degraded:
        """What the tenant's runs do while nobody can decide whether they may go."""
        return self._file.current().degraded_of(tenant_id)
