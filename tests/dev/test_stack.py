"""The stack: what is refused before anything starts, what runs, whose server is used."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.errors import Refused, TemporalUnreachable
from starter.dev.options import DevOptions
from starter.dev.parts import child_environment
from starter.dev.ports import Wanted, settle
from starter.dev.stack import dev_stack, settled_ports
from tests.dev.children import alive, all_gone


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def no_temporal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the machine says about Temporal decides these tests."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)


async def test_the_parts_run_and_end_together(tmp_path: Path) -> None:
    """Temporal, sandbox and API answer while the stack is held, and are gone after it."""
    said: list[str] = []
    options = DevOptions(
        port=0,
        ui_port=0,
        api_port=0,
        sandbox_port=0,
        db=tmp_path / "deep/down/temporal.db",
        parts=("temporal", "sandbox", "api"),
    )
    async with dev_stack(options, said.append) as stack:
        assert said == [
            f"temporal   {stack.address}   Web UI {stack.web_url}",
            f"sandbox    {stack.sandbox_url}",
            f"api        {stack.api_url}   console {stack.api_url}/console",
        ]
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{stack.api_url}/healthz")
            assert answer.json() == {"status": "ok"}
            assert (await http.get(f"{stack.sandbox_url}/healthz")).is_success
            assert (await http.get(f"{stack.web_url}")).status_code < 400
        assert stack.env["TEMPORAL_ADDRESS"] == stack.address
        assert stack.env["TASKFLOW_PLUGIN_URL"] == stack.sandbox_url
        assert stack.state_dir == tmp_path / "deep/down/temporal.db-state"
        pids = [stack.tree.pid(name) for name in ("temporal", "sandbox", "api")]
        assert all(alive(pid) for pid in pids)
        with pytest.raises(Refused, match=r"temporal\.db is in use .*--db"):
            async with dev_stack(
                DevOptions(port=0, db=options.db, state_dir=tmp_path / "other", parts=("temporal",))
            ):
                pass
    assert all_gone(*pids)


async def test_the_server_that_the_environment_names_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEMPORAL_ADDRESS means: use that one, start none, and let the children see all of it."""
    said: list[str] = []
    mine = DevOptions(port=0, state_dir=tmp_path / "a", parts=("temporal",), headless=True)
    async with dev_stack(mine) as server:
        monkeypatch.setenv("TEMPORAL_ADDRESS", server.address)
        monkeypatch.setenv("TEMPORAL_NAMESPACE", "default")
        options = DevOptions(state_dir=tmp_path / "b", parts=("temporal",))
        async with dev_stack(options, said.append) as stack:
            assert not stack.own_server
            assert stack.address == server.address
            assert stack.env["TEMPORAL_NAMESPACE"] == "default"
            assert await (await stack.connect()).service_client.check_health()
    assert said == [
        f"temporal   {server.address}   (named by the environment: none is started here)"
    ]


async def test_a_named_server_that_does_not_answer_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack does not fall back to a server of its own: tasks would go to the wrong place."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    with pytest.raises(TemporalUnreachable, match=r"127\.0\.0\.1:9"):
        async with dev_stack(DevOptions(state_dir=tmp_path)):
            pass


@pytest.mark.parametrize("option", ["port", "ui_port", "api_port", "sandbox_port"])
async def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path, option: str) -> None:
    """The message names the part, the port and the option; no database is made."""
    free = DevOptions(state_dir=tmp_path, port=0, ui_port=0, api_port=0, sandbox_port=0)
    flag = f"--{option.replace('_', '-')}"
    with taken_port() as port:
        changes: dict[str, Any] = {option: port}
        options = replace(free, **changes)
        with pytest.raises(Refused, match=rf"port {port} on 127\.0\.0\.1 is taken.*{flag}"):
            async with dev_stack(options):
                pass
    assert not (tmp_path / "temporal.db").exists()
    assert not (tmp_path / "logs").exists()


def test_a_taken_temporal_port_names_the_other_way_out() -> None:
    """Perhaps the port is taken by the very server that is wanted."""
    with taken_port() as port, pytest.raises(Refused, match=rf"TEMPORAL_ADDRESS=127.0.0.1:{port}"):
        settled_ports(DevOptions(port=port, ui_port=0, api_port=0, sandbox_port=0))


def test_two_parts_cannot_have_one_port() -> None:
    """The second is refused by both names, rather than failing at its start."""
    with pytest.raises(Refused, match=r"api and sandbox both want port 8500"):
        settle([Wanted("api", "--api-port", 8500), Wanted("sandbox", "--sandbox-port", 8500)])


def test_a_port_out_of_range_is_refused() -> None:
    """Ports end at 65535."""
    with pytest.raises(Refused, match=r"--port 70000 is not between"):
        settle([Wanted("temporal", "--port", 70000)])


def test_free_ports_differ() -> None:
    """Ports that are free now are not given out twice."""
    ports = settle([Wanted("part", "--port", 0) for _ in range(50)])
    assert len(set(ports)) == 50


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    """7233 and 8233, under .taskflow; another gRPC port takes its Web UI along."""
    options = DevOptions()
    assert (options.temporal_port, options.web_port) == (7233, 8233)
    assert options.database == Path(".taskflow/temporal.db").resolve()
    assert DevOptions(port=7300).web_port == 8300
    assert DevOptions(port=0).web_port == 0
    assert DevOptions(db=tmp_path / "t.db").state_folder == tmp_path / "t.db-state"


def test_an_explicit_port_or_database_means_a_server_of_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever says where the server is to be wants one started, whatever the environment names."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    assert not DevOptions().wants_own_server
    assert DevOptions(port=7300).wants_own_server
    assert DevOptions(db=Path("t.db")).wants_own_server
    assert not DevOptions(api_port=8500).wants_own_server


def test_children_of_our_own_server_get_its_address_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API key or a profile for another server must not be sent to this one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/bin",
        "TEMPORAL_ADDRESS": "cloud:7233",
        "TEMPORAL_API_KEY": "secret",
        "TEMPORAL_CONFIG_FILE": "/etc/temporal.toml",
    }
    env = child_environment(environ, own_address="127.0.0.1:7300", sandbox_url=None)
    assert env == {
        "HOME": str(tmp_path),
        "PATH": "/bin",
        "TEMPORAL_ADDRESS": "127.0.0.1:7300",
    }
    profile = tmp_path / ".config/temporalio/temporal.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text('[profile.default]\nnamespace = "elsewhere"\n')
    env = child_environment(environ, own_address="127.0.0.1:7300", sandbox_url="http://here")
    assert env["TEMPORAL_CONFIG_FILE"] == os.devnull
    assert env["TASKFLOW_PLUGIN_URL"] == env["TASKFLOW_CAPACITY_URL"] == "http://here"


def test_plugins_may_be_elsewhere_than_in_the_sandbox() -> None:
    """Who writes a plugin has it called; the sandbox plays the other services all the same."""
    environ = {"TASKFLOW_PLUGIN_URL": "http://mine", "TASKFLOW_CAPACITY_URL": "http://theirs"}
    env = child_environment(
        environ, own_address=None, sandbox_url="http://here", plugin_url="http://mine"
    )
    assert (env["TASKFLOW_PLUGIN_URL"], env["TASKFLOW_CAPACITY_URL"]) == (
        "http://mine",
        "http://here",
    )
    env = child_environment(environ, own_address=None, sandbox_url="http://here")
    assert env["TASKFLOW_PLUGIN_URL"] == "http://here"  # the demo's plugins are its own
