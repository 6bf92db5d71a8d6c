"""The whole product through its HTTP door: from a token to the run of an event, and back."""

import contextlib
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from shared.codec_keys import create_keys
from shared.settings import ROOT
from starter.dev.ports import Wanted, settle
from tests.pluginkit.harness import NEW
from tests.starter.harness import Cli, eventually
from tests.whole.marked import Marked

CANARY = "canary-8c1f0d2e"
ROWS = 4
TASK = {
    "task_id": "import-file",
    "plugin_id": "report-builder",
    "triggers": [{"event": "file.arrived", "filter": "data.rows > 1 && data.shop == 'osaka'"}],
    "params": {"rows": ROWS, "note": CANARY},
    "mutex": ["imports"],
    "sla": {"start_within": "1m", "finish_within": "5m"},
    "timeout": "1m",
    "heartbeat_timeout": "20s",
}
EVENT = {
    "specversion": "1.0",
    "id": "file-1",
    "source": "/shops/osaka",
    "type": "file.arrived",
    "data": {"rows": 7, "shop": "osaka", "note": CANARY},
}
AT_ONCE = 20
SCOPES = ("task:read", "task:write", "task:operate", "event:publish")


@dataclass(frozen=True, slots=True)
class Outside:
    """The product as those see it who have nothing but its address."""

    folder: Path
    url: str
    cli: Cli

    def caller(self, tenant_id: str | None) -> httpx.Client:
        """Who shows a new token of a tenant, or an admin's, made as operators make them."""
        said = ["--tenant", tenant_id] if tenant_id else []
        for scope in SCOPES if tenant_id else ["admin"]:
            said += ["--scope", scope]
        shown = self.cli.run("tokens", "create", *said).out.split()[0]
        headers = {"Authorization": f"Bearer {shown}"}
        return httpx.Client(base_url=f"{self.url}/internal", headers=headers, timeout=60)

    def rules(self) -> float:
        """How many event rules the API knows."""
        text = httpx.get(f"{self.url}/metrics").text
        line = next(line for line in text.splitlines() if line.startswith("task_events_in_rules "))
        return float(line.split()[1])

    def audited(self) -> list[dict[str, Any]]:
        """The writes that the API has logged."""
        lines = (self.folder / ".taskflow/logs/api.log").read_text().splitlines()
        documents = [json.loads(line) for line in lines if line.startswith("{")]
        return [document for document in documents if document.get("action") == "audit"]


@contextmanager
def product(marked: Marked) -> Iterator[Outside]:
    """Temporal, worker and API with tokens, a shared secret and keys; the plugin of the docs."""
    folder = marked.folder
    (folder / "secret").write_text(NEW)
    create_keys(folder / "keys", "k1")
    [api, plugin] = settle([Wanted("api", "", 0), Wanted("plugin", "", 0)])
    scheduler = f"http://127.0.0.1:{api}"
    environment = {
        "TASKFLOW_TOKENS_FILE": str(folder / "tokens.json"),
        "TASKFLOW_PLUGIN_SECRET_FILE": str(folder / "secret"),
        "TASKFLOW_CODEC_KEYS_FILE": str(folder / "keys"),
        "TASKFLOW_PLUGIN_URL": f"http://127.0.0.1:{plugin}",
    }
    parts = ("--parts", "temporal", "worker", "api", "--port", "0", "--api-port", str(api))
    dev = marked.start_python("-m", "starter.dev", *parts, **environment)
    uvicorn = ("-m", "uvicorn", "--app-dir", str(ROOT / "examples"), "plugin:app")
    runtime = marked.start_python(
        *(*uvicorn, "--port", str(plugin), "--log-level", "error"),
        PLUGIN_SECRET_FILE=str(folder / "secret"),
        PLUGIN_STORE=str(folder / "plugin.sqlite"),
        SCHEDULER_URL=scheduler,
    )
    said = []
    for line in dev.stdout or ():
        said.append(line)
        if line.startswith("taskflow dev: ready"):
            break
    assert dev.poll() is None, said
    eventually(lambda: _answers(f"{environment['TASKFLOW_PLUGIN_URL']}/healthz"))
    yield Outside(folder, scheduler, Cli(folder, environment))
    for process in (dev, runtime):
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert "Traceback" not in output
    assert dev.returncode == 0
    assert not marked.survivors()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).is_success
    return False


def test_from_a_token_to_the_run_of_an_event_and_back(marked: Marked) -> None:
    """Twenty times one event is one run; its plugin reports; a pause and a neighbour see to it."""
    with product(marked) as outside, outside.caller("acme") as ann, outside.caller("evil") as eve:
        with outside.caller(None) as admin:
            tenants = [{"tenant_id": "acme", "mutex_groups": {"imports": 1}}]
            params = {"tenant_id": "acme"}
            declared = admin.post("/tasks/register", params=params, json={"tenants": tenants})
            assert declared.is_success, declared.text
        registered = ann.post("/tasks/register", json=TASK)
        assert registered.status_code == 201, registered.text
        assert ann.post("/events", json=EVENT | {"id": ""}).status_code == 422
        eventually(outside.rules)

        run_id = _told_at_once(ann)
        small = EVENT | {"id": "file-2", "data": {"rows": 1, "shop": "osaka"}}
        [ignored] = ann.post("/events", json=small).json()["events"]
        assert ignored["runs"] == []
        assert "no event trigger" in ignored["note"]

        ended = eventually(lambda: _ended(ann, run_id), within=60)
        assert (ended["status"], ended["trigger_kind"]) == ("SUCCESS", "event")
        assert ended["sla"] == {"start": "MET", "finish": "MET"}
        _reported_by_signed_requests(outside)
        listed = eventually(lambda: ann.get("/tasks/import-file/runs").json()["runs"])
        assert [run["run_id"] for run in listed] == [run_id]
        why = ann.get("/tasks/import-file/why", params={"at": ended["nominal_time"]}).json()
        assert why["verdict"] == "success"
        assert "the plugin did its work" in why["because"][0]

        assert ann.put("/tasks/import-file/pause", json={"reason": "late"}).is_success
        # The event that has run already starts nothing, and tells when the pause is known.
        eventually(lambda: ann.post("/events", json=EVENT).json()["events"][0]["paused"])
        [paused] = ann.post("/events", json=EVENT | {"id": "file-3"}).json()["events"]
        assert (paused["runs"], paused["paused"]) == ([], ["import-file"])

        _sees_nothing(eve, run_id)
        kept = b"".join(path.read_bytes() for path in outside.folder.glob(".taskflow/temporal.db*"))
        assert run_id.encode() in kept
        assert CANARY.encode() not in kept


def _told_at_once(ann: httpx.Client) -> str:
    """The id of the run that each of the answers names."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        told = [threads.submit(ann.post, "/events", json=EVENT) for _ in range(AT_ONCE)]
        answers = [one.result() for one in told]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    [received] = answers[0].json()["events"]
    [run] = received["runs"]
    assert run["task_id"] == "import-file"
    return str(run["run_id"])


def _ended(ann: httpx.Client, run_id: str) -> Any:
    run = ann.get(f"/runs/{quote(run_id)}").json()
    return run if run["ended_at"] else None


def _reported_by_signed_requests(outside: Outside) -> None:
    """Nobody with a token told of the execution: the plugin's runtime did, row by row."""
    reports = [line for line in outside.audited() if line["who"] == "plugin runtime"]
    assert len(reports) > ROWS // 2
    assert {line["status"] for line in reports} == {200}


def _sees_nothing(eve: httpx.Client, run_id: str) -> None:
    """Another tenant's token: what is not its own does not exist."""
    assert eve.get("/tasks").json()["tasks"] == []
    assert eve.get("/tasks/import-file").status_code == 404
    assert eve.get("/tasks/import-file", params={"tenant_id": "acme"}).status_code == 404
    assert eve.get(f"/runs/{quote(run_id)}").status_code == 404
    assert eve.put("/tasks/import-file/resume", json={}).status_code == 404
    [unheard] = eve.post("/events", json=EVENT | {"id": "file-4"}).json()["events"]
    assert (unheard["runs"], unheard["paused"]) == ([], [])
