"""What the compose file starts, started: its commands, variables and checks, on a real server.

The engine's part is left out: names of hosts, mounts and the image are those of this machine.
"""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from domain.duration import parse_duration
from shared.settings import ROOT
from tests.deploy.files import DEPLOY, service
from tests.starter.harness import TASKFLOW, Cli
from tests.watch.processes import QUIET

PATIENCE = 60.0


class Place:
    """A folder in the place of the containers' file systems, and ports in that of their ports."""

    def __init__(self, folder: Path, temporal: str) -> None:
        self.folder = folder
        self.namespace = f"deployed-{folder.name}"
        self._instead = {
            "temporal:7233": temporal,
            "/run/secrets/": f"{folder}/secrets/",
            "/data/": f"{folder}/",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - nobody else is to reach it here
            "8088": _free_port(),
            "9464": _free_port(),
        }

    def here(self, text: str) -> str:
        """What stands in the compose file, as it is on this machine."""
        pattern = "|".join(map(re.escape, self._instead))
        return re.sub(pattern, lambda found: self._instead[found[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a service."""
        said = service(name)["environment"].items()
        own = {key: self.here(value) for key, value in said if not value.startswith("${")}
        return {
            **own,
            "TASKFLOW_PLUGIN_URL": "http://127.0.0.1:1",
            "TASKFLOW_READY_FILE": str(self.folder / f"{name}.ready"),
            "TEMPORAL_NAMESPACE": self.namespace,
            **QUIET,
        }

    def command(self, name: str) -> list[str]:
        """How a service is started."""
        [_, *arguments] = service(name)["command"]
        return [str(TASKFLOW), *map(self.here, arguments)]

    def check(self, name: str) -> str:
        """What its health check finds; nothing when the service is well."""
        kind, program, *arguments = service(name)["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        ended = subprocess.run(
            [sys.executable, *map(self.here, arguments)],
            cwd=ROOT,
            env=Cli(self.folder, self.environment(name)).env(),
            capture_output=True,
            check=False,
            text=True,
        )
        assert (ended.returncode == 0) is (ended.stderr == "")
        return ended.stderr

    @contextmanager
    def started(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """The process of a service, until it is left."""
        with (
            (self.folder / f"{name}.log").open("wb") as log,
            subprocess.Popen(
                self.command(name),
                cwd=self.folder,
                env=Cli(self.folder, self.environment(name)).env(),
                stderr=log,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def place(temporal: Client, tmp_path: Path) -> Place:
    """With the secrets of a new deployment."""
    script = DEPLOY / "compose/make-secrets.sh"
    subprocess.run(["/bin/sh", script, tmp_path / "secrets"], check=True, capture_output=True)
    return Place(tmp_path, temporal.service_client.config.target_host)


def test_the_services_of_ours_come_up_well_and_end_in_time(place: Place) -> None:
    """Setup ends, worker and API become healthy and answer Prometheus, and SIGTERM ends both.

    The worker is there before its namespace is: it waits, alive and not well.
    """
    setup, api_commands = (Cli(place.folder, place.environment(name)) for name in ("setup", "api"))
    stale = Path(place.environment("worker")["TASKFLOW_READY_FILE"])
    stale.touch()  # left by a process that was killed
    with place.started("worker") as worker:
        _until(lambda: not stale.exists(), worker)
        _until(lambda: _answers(int(place.here("9464"))), worker)
        assert place.check("worker")
        job = setup.run(*place.command("setup")[1:])
        assert job.code == 0, job.err
        with place.started("api") as api:
            _until(lambda: "there are no tokens" in place.check("api"), api)
            token = api_commands.json("tokens", "create", "--tenant=acme", "--scope=task:read")
            _until(stale.exists, worker)
            assert not place.check("worker")
            _until(lambda: not place.check("api"), api)
            tasks = place.here("http://127.0.0.1:8088/internal/tasks")
            letting_in = {"Authorization": f"Bearer {token['token']}"}
            assert httpx.get(tasks, trust_env=False).status_code == 401
            assert httpx.get(tasks, headers=letting_in, trust_env=False).json()["tasks"] == []
            for scraped in ("127.0.0.1:9464", "127.0.0.1:8088"):
                page = httpx.get(f"http://{place.here(scraped)}/metrics", trust_env=False)
                assert "\ntask_" in page.text
            for name, process in (("worker", worker), ("api", api)):
                process.send_signal(signal.SIGTERM)
                grace = parse_duration(service(name)["stop_grace_period"])
                assert process.wait(grace.total_seconds()) == 0
                assert place.check(name)


def _free_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return str(free.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(look: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    end, pause = time.monotonic() + PATIENCE, 0.1
    while not look():
        assert process is None or process.poll() is None
        assert time.monotonic() < end
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)  # a look may be a process: it costs
