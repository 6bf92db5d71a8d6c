"""The process: how it starts, what it says, how it ends."""

import asyncio
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from sandbox.knobs import ConfigError, load_config
from tests.sandbox.harness import execute, request, run, running, until_arrived


def test_a_taken_port_is_one_line_and_exit_1(tmp_path: Path) -> None:
    """No traceback, and no log file made for nothing."""
    log = tmp_path / "log.jsonl"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(log, "--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    expected = f"sandbox: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert ended.stderr == expected
    assert not log.exists()


async def test_a_hanging_request_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With requests that hang, sleep, drip and are half sent it ends in 2 s, with 0 and quietly."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure("stuck", script=["hang"])
            await control.configure("late", latency=60)
            await control.configure("dripping", script=["slow:60"])
            plugins = ["stuck", "late", "dripping"]
            calls = [asyncio.create_task(execute(http, plugin)) for plugin in plugins]
            port = int(sandbox.url.rpartition(":")[2])
            _, half_sent = await asyncio.open_connection("127.0.0.1", port)
            half_sent.write(b"POST /plugin/runtime/late/execute HTTP/1.1\r\nhost: x\r\n")
            half_sent.write(b"content-length: 9\r\n\r\n{")
            await until_arrived(control, len(plugins))
            started = time.monotonic()
            sandbox.process.terminate()
            code, errors = await asyncio.to_thread(sandbox.ended)
            took = time.monotonic() - started
            ends = await asyncio.gather(*calls, return_exceptions=True)
            half_sent.close()
    assert took < 2
    assert (code, errors) == (0, "")
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    outcomes = {line["plugin_id"]: line for line in sandbox.lines() if line["event"] == "end"}
    assert {plugin: line["outcome"] for plugin, line in outcomes.items()} == {
        "stuck": "hang",
        "late": "stopped",
        "dripping": "stopped",
    }
    assert {line["effect"] for line in outcomes.values()} == {None}


async def test_a_short_request_is_still_answered_at_the_end(tmp_path: Path) -> None:
    """SIGINT, like SIGTERM, is graceful: what needs less than half a second gets its answer."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure("late", latency=0.3)
            call = asyncio.create_task(execute(http, "late"))
            await until_arrived(control)
            sandbox.process.send_signal(signal.SIGINT)
            assert (await call).json()["status"] == "SUCCESS"
        assert sandbox.ended() == (0, "")
    assert sandbox.lines()[-1]["effect"] == 1


async def test_the_config_file_sets_the_knobs(tmp_path: Path) -> None:
    """Plugins behave as in the file, and a reset brings them back to it."""
    config = tmp_path / "sandbox.yaml"
    config.write_text("plugins:\n  flaky: {script: [503, ok], result: {rows: 1}}\n")
    with running(tmp_path / "log.jsonl", "--config", str(config)) as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure("flaky", script=["ok"])
            await control.reset()
            assert (await http.post(**request("flaky", "key-1"))).status_code == 503
            assert (await http.post(**request("flaky", "key-1"))).json()["result"] == {"rows": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("plugins: {a: {latency: -1}}", "plugins.a.latency: "),
        ("plugins: {a: {script: [maybe]}}", "'maybe' is no outcome"),
        ("plugins: {a: {colour: red}}", "plugins.a.colour: Extra inputs"),
        ("plugins: {A/b: {}}", "plugins.A/b"),
        ("plugin: {}", "plugin: Extra inputs"),
        ("[", "not YAML"),
        ("- a", "file: "),
        (None, "No such file"),
    ],
)
def test_a_bad_config_file_is_explained_in_one_line(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    """The line names the file, the place in it and what is wrong."""
    config = tmp_path / "sandbox.yaml"
    if content is not None:
        config.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load_config(config)
    message = str(refused.value)
    assert message.startswith(f"{config}: ")
    assert reason in message
    assert "\n" not in message


def test_a_bad_config_file_ends_the_process_with_2(tmp_path: Path) -> None:
    """One line on standard error, and no log file made for nothing."""
    config = tmp_path / "sandbox.yaml"
    config.write_text("plugins: {a: {script: [maybe]}}")
    ended = run(tmp_path / "log.jsonl", "--port", "0", "--config", str(config))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"sandbox: {config}: plugins.a.script: ")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "log.jsonl").exists()
