"""`taskflow dev` as a whole: everything comes up, says where it is, and goes down together."""

import json
import os
import signal
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.webhooks import sign
from tests.pluginkit.harness import SECRETS, TRACEPARENT, body_of, new_key
from tests.starter.harness import Cli, eventually
from tests.whole.marked import Marked

ACME = {"tenant_id": "acme"}
REPORTED = ACME | {
    "task_id": "yearly-report",
    "plugin_id": "archive",
    "triggers": [{"at": "2099-01-01T00:00:00Z"}],
    "timeout": "2m",
    "heartbeat_timeout": "10s",
}


def start_dev(marked: Marked, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A running `taskflow dev` on free ports, and the lines that it printed until it was ready."""
    dev = marked.start(
        *("dev", "--port", "0", "--ui-port", "0", "--api-port", "0", "--sandbox-port", "0"),
        **environment,
    )
    lines: list[str] = []
    assert dev.stdout
    for line in dev.stdout:
        lines.append(line.rstrip())
        if line.startswith("taskflow dev: ready"):
            return dev, lines
    raise AssertionError("\n".join(lines))


def url_of(part: str, lines: list[str]) -> str:
    """The address that a part was announced with."""
    line = next(line for line in lines if line.startswith(part))
    return next(word for word in line.split() if word.startswith("http://"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_announces_its_parts_and_one_signal_ends_them(
    marked: Marked, number: signal.Signals
) -> None:
    """Parts answer where they are announced, plugins of one's own too; no process survives."""
    dev, lines = start_dev(marked, TASKFLOW_PLUGIN_URL="http://127.0.0.1:9")
    assert url_of("plugins", lines) == "http://127.0.0.1:9"
    assert httpx.get(f"{url_of('api', lines)}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{url_of('sandbox', lines)}/healthz").is_success
    assert "TaskRun" not in httpx.get(url_of("temporal", lines), follow_redirects=True).text
    dev.send_signal(number)
    output, _ = dev.communicate(timeout=30)
    assert dev.returncode == 0, output
    assert "Traceback" not in output
    assert not marked.survivors()


def test_ctrl_c_ends_dev_even_when_its_worker_hangs(marked: Marked) -> None:
    """A child that cannot react to SIGTERM is killed after its grace, and dev still ends."""
    dev, _ = start_dev(marked)
    os.kill(marked.named("-m worker"), signal.SIGSTOP)
    dev.send_signal(signal.SIGINT)
    output, _ = dev.communicate(timeout=30)
    assert dev.returncode == 0, output
    assert not marked.survivors()


def test_dev_runs_what_plugins_report_and_keeps_its_state_in_its_folder(
    marked: Marked, tmp_path: Path
) -> None:
    """Accepted work is seen on its way, can be stopped, and ends; all state is in .taskflow."""
    dev, lines = start_dev(marked)
    cli = Cli(tmp_path, {"TEMPORAL_ADDRESS": lines[0].split()[1]})
    api = httpx.Client(base_url=f"{url_of('api', lines)}/internal", params=ACME, trust_env=False)
    with api, httpx.Client(base_url=url_of("sandbox", lines), trust_env=False) as sandbox:
        _strangers_are_refused(api, sandbox)
        assert api.post("/tasks/register", json=REPORTED).status_code == 201

        _plugin_does(sandbox, "accept:60")
        run_id = api.post("/tasks/yearly-report/trigger").json()["run_id"]
        progress = eventually(lambda: _progress(api))
        assert 0 <= progress["done"] < 1
        assert 'progress: {"done": 0.' in cli.ok("show", "yearly-report", "--tenant", "acme")
        assert api.post(f"/runs/{quote(run_id)}/cancel").status_code == 202
        assert _ended(api, run_id)["status"] == "CANCELLED"
        assert eventually(lambda: _delivery(sandbox, run_id)["outcome"]) == "cancelled"

        _plugin_does(sandbox, "accept:1")
        run_id = api.post("/tasks/yearly-report/trigger").json()["run_id"]
        run = _ended(api, run_id)
        assert (run["status"], run["retry_count"]) == ("SUCCESS", 0)
        assert run["duration_ms"] >= 1000
        delivery = _delivery(sandbox, run_id)
        assert (delivery["outcome"], delivery["effect"]) == ("accept:1", 1)
    dev.send_signal(signal.SIGINT)
    dev.communicate(timeout=30)
    state = tmp_path / ".taskflow"
    assert (state / "logs/worker.log").exists()
    assert (state / "temporal.db").exists()
    assert stat.S_IMODE((state / "plugin-secret").stat().st_mode) == 0o600
    assert "took no report" not in (state / "logs/sandbox.log").read_text()


def _plugin_does(sandbox: httpx.Client, outcome: str) -> None:
    knobs = {"script": [outcome], "result": {"pages": 7}}
    assert sandbox.put("/control/plugins/archive", json=knobs).is_success


def _progress(api: httpx.Client) -> Any:
    """What the plugin told of the attempt that is under way."""
    attempts = api.get("/tasks/yearly-report").json()["attempts"]
    return attempts[0]["progress"] if attempts else None


def _ended(api: httpx.Client, run_id: str) -> Any:
    """The run, once it has ended."""

    def look() -> Any:
        run = api.get(f"/runs/{quote(run_id)}").json()
        return run if run["ended_at"] else None

    return eventually(look)


def _delivery(sandbox: httpx.Client, run_id: str) -> Any:
    [delivery] = sandbox.get("/control/deliveries", params={"key": run_id}).json()["deliveries"]
    return delivery


def _strangers_are_refused(api: httpx.Client, sandbox: httpx.Client) -> None:
    """Neither plugins nor scheduler believe what is not signed with the secret of the stack."""
    key, body = new_key(), body_of(new_key())
    headers = {"idempotency-key": key, "traceparent": TRACEPARENT}
    headers |= sign(SECRETS, "msg_1", json.dumps(body).encode(), now=datetime.now(UTC))
    for url, client in (("/plugin/runtime/archive/execute", sandbox), ("/events", api)):
        answer = client.post(url, content=json.dumps(body), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "BAD_SIGNATURE")
