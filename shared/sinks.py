"""The sinks file on disk, and the secrets that it names."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from domain.document import parse_yaml
from domain.problems import InvalidInput, Problem
from domain.sinks import Sink, read_sinks
from shared.files import read_text
from shared.live import LiveFile
from shared.webhooks import Secret, parse_secrets


@dataclass(frozen=True, slots=True, eq=False)
class ReadySink:
    """A sink and what signs requests to it."""

    sink: Sink
    secrets: tuple[Secret, ...] = field(repr=False)
    secret_file: Path | None = None

    @property
    def name(self) -> str:
        """As the file names it."""
        return self.sink.name


def load_sinks(path: Path) -> list[ReadySink]:
    """The sinks of a file, each with its secret. Paths of secrets begin at the file's folder.

    Errors: `InvalidInput` with every problem, its source the path.
    """
    try:
        return _read(path)
    except InvalidInput as error:
        raise InvalidInput(error.problems, str(path)) from error


def _read(path: Path) -> list[ReadySink]:
    document = parse_yaml(read_text(path))
    ready: list[ReadySink] = []
    problems: list[Problem] = []
    for index, sink in enumerate(read_sinks(document)):
        try:
            ready.append(_ready(sink, path))
        except ValueError as error:
            key = "secret_env" if sink.secret_env else "secret_file"
            problems.append(Problem(("sinks", index, key), str(error)))
    if problems:
        raise InvalidInput(document.placed(problems))
    return ready


class LiveSinks:
    """The sinks as their file says them now; none when there is no file.

    A file, or a secret, that became unreadable or wrong keeps the last good sinks; `warning` and
    the log say so.
    """

    def __init__(self, path: Path | None) -> None:
        """Errors: `InvalidInput` for a file that is wrong, or a secret that is missing."""
        self._file = LiveFile(path, load_sinks, "sinks", _secret_files) if path else None

    @property
    def warning(self) -> str | None:
        """What is wrong with the file as it is now."""
        return self._file.warning if self._file else None

    def of(self, tenant_id: str) -> list[ReadySink]:
        """Who is told of the tenant's runs."""
        sinks = self._file.current() if self._file else []
        return [sink for sink in sinks if sink.sink.listens_to(tenant_id)]

    def find(self, name: str, tenant_id: str) -> ReadySink | None:
        """The sink of that name, when it is told of the tenant's runs."""
        return next((sink for sink in self.of(tenant_id) if sink.name == name), None)


def _secret_files(sinks: list[ReadySink]) -> list[Path]:
    return [sink.secret_file for sink in sinks if sink.secret_file]


def _ready(sink: Sink, file: Path) -> ReadySink:
    """Errors: `ValueError`, without what was read."""
    secret_file = file.parent / sink.secret_file if sink.secret_file else None
    if secret_file:
        what = f"the file {secret_file}"
        try:
            text = read_text(secret_file)
        except InvalidInput as error:
            raise ValueError(f"{what} {error}") from error
    else:
        what = f"the environment variable {sink.secret_env}"
        text = os.environ.get(sink.secret_env or "", "")
        if not text.strip():
            raise ValueError(f"{what} is not set")
    try:
        return ReadySink(sink, parse_secrets(text), secret_file)
    except ValueError as error:
        raise ValueError(f"{what} {error}") from error
