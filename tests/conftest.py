"""Fixtures and builders that several packages of tests share.

Fixtures start what they stand for when a test first asks: pure tests start no process.
"""

import atexit
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from domain.document import Document, parse_yaml
from domain.policy import Policy
from domain.registration import read_registration
from domain.task import Task
from sandbox.client import SandboxClient
from shared.leave import leave
from shared.policy import load_policy
from shared.search_attributes import register_search_attributes
from shared.settings import ROOT

POLICY_FILE = ROOT / "config/tasks/default_policy.yaml"
TEMPORAL_BINARY = Path(sys.executable).parent / "temporal"

# Started in the background by a script, a test run ignores SIGINT, and so would all its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_exit_codes: list[int] = []


def pytest_sessionfinish(exitstatus: int) -> None:
    """Remember what the test run comes to; see `_leave`."""
    _exit_codes.append(int(exitstatus))


_SLOW = (
    "killed",
    "codec",
    "watch",
    "whole",
    "breaker",
    "benchmarks",
    "forecast",
    "executions",
    "recovery",
    "alerts",
    "versions",
    "tracing",
)
_TOGETHER = ("codec", "killed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait for much come first, so that none is alone at the end."""
    items.sort(key=lambda item: item.path.parent.name not in _SLOW)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Several processes share the tests: by file, or by folder where that shares its processes."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = Path(file).parent.name
        return folder if folder in _TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    """The groups of `--dist loadgroup` are lost with pytest 9.2, which makes node ids anew."""
    config.option.loadscopereorder = False  # in the order of collection, not by their number
    return _ByFile(config, log)


@atexit.register
def _leave() -> None:
    if _exit_codes:
        leave(_exit_codes[-1])


_LEAST_TASK: dict[str, Any] = {
    "tenant_id": "acme",
    "task_id": "daily-report",
    "plugin_id": "report-builder",
    "triggers": [{"every": "15m"}],
}


def task_of(lines: str = "", **fields: Any) -> Task:
    """A whole task: the least one, changed by lines of YAML and by fields, layered as a file is."""
    said = parse_yaml(lines).data if lines.strip() else {}
    document = Document({"tasks": [_LEAST_TASK | said | fields]})
    return read_registration(document, load_policy(POLICY_FILE)).tasks[0]


EXACT_TIMERS = ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="1ms"']
"""Timers fire at their time; else they may be a second late, lest servers' clocks differ."""


async def start_temporal(**options: Any) -> WorkflowEnvironment:
    """A dev server of its own, silent, that knows our search attributes."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL_BINARY),
        dev_server_log_level="never",
        dev_server_extra_args=EXACT_TIMERS,
        data_converter=pydantic_data_converter,
        **options,
    )
    await register_search_attributes(environment.client)
    return environment


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The policy that the product ships."""
    return load_policy(POLICY_FILE)


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of one real Temporal server for the whole session: use a task queue of your own.

    Its address is `temporal.service_client.config.target_host`.
    """
    async with await start_temporal() as environment:
        yield environment.client


@pytest.fixture(scope="session")
def plugin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of one plugin runtime for the whole session: the sandbox as a process."""
    log = tmp_path_factory.mktemp("plugin") / "deliveries.jsonl"
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert said.startswith("sandbox: http://"), said
            yield said.removeprefix("sandbox: ").strip()
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
async def plugin(plugin_url: str) -> AsyncIterator[SandboxClient]:
    """What scripts the plugins at `plugin_url` and reads back their deliveries; starts empty."""
    async with SandboxClient(plugin_url) as client:
        await client.reset()
        yield client
