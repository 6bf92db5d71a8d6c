"""What `taskflow dev` can be told, and the defaults for what it is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.temporal import connect_options, names_a_server
from starter.dev.ports import MAX_PORT

Part = Literal["temporal", "sandbox", "worker", "api"]
ALL_PARTS: tuple[Part, ...] = ("temporal", "sandbox", "worker", "api")

TEMPORAL_PORT = 7233
UI_OFFSET = 1000
API_PORT = 8088
SANDBOX_PORT = 8089
METRICS_PORT = 9464
STATE_DIR = Path(".taskflow")


@dataclass(frozen=True)
class DevOptions:
    """Ports (None: the default, 0: any free one), files and parts of a stack.

    `metrics_port` is the worker's. Left out, it is any free one when the default is taken: nobody's
    stack is kept from starting by it.

    `db` is the Temporal server's database; `state_dir` holds logs, locks and the plugins' secret.
    Left out, they are `.taskflow/temporal.db` and `.taskflow`; a `db` alone keeps its state beside
    itself, in `<db>-state`, so that two stacks started in one folder do not meet. `headless` is a
    server without Web UI; not `signed` a stack with no secret of its own, whose plugins take every
    call and report nothing. `plugin_url`: where plugins are, if the sandbox is not to play them.
    """

    port: int | None = None
    ui_port: int | None = None
    api_port: int | None = None
    sandbox_port: int | None = None
    metrics_port: int | None = None
    db: Path | None = None
    state_dir: Path | None = None
    sandbox_config: Path | None = None
    sandbox_log: Path | None = None
    parts: tuple[Part, ...] = ALL_PARTS
    headless: bool = False
    signed: bool = True
    plugin_url: str | None = None

    @property
    def wants_own_server(self) -> bool:
        """Whether a Temporal server is started, rather than the one that the environment names.

        Errors: `TaskflowError` for an unreadable Temporal client profile.
        """
        if "temporal" not in self.parts:
            return False
        if any(given is not None for given in (self.port, self.ui_port, self.db)):
            return True
        connect_options()  # says what is wrong with a profile in words of ours
        return not names_a_server()

    @property
    def temporal_port(self) -> int:
        """gRPC port of the server, 0 for any."""
        return TEMPORAL_PORT if self.port is None else self.port

    @property
    def web_port(self) -> int:
        """Web UI port, 0 for any: Temporal's own rule is the gRPC port plus 1000."""
        if self.ui_port is not None:
            return self.ui_port
        follows = self.temporal_port + UI_OFFSET
        return follows if self.temporal_port and follows <= MAX_PORT else 0

    @property
    def state_folder(self) -> Path:
        """Folder of logs, locks, readiness files and the plugins' secret, absolute."""
        if self.state_dir is not None:
            return self.state_dir.absolute()
        if self.db is not None:
            return self.db.with_name(f"{self.db.name}-state").absolute()
        return STATE_DIR.absolute()

    @property
    def database(self) -> Path:
        """The database file, absolute and free of links: one file has one name to lock."""
        return (self.db or self.state_folder / "temporal.db").resolve()
