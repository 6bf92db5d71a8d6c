"""The control routes and the words of a script."""

import httpx
import pytest

from sandbox.client import SandboxClient, SandboxError
from sandbox.knobs import Knobs, Outcome
from tests.sandbox.harness import code_of, execute


async def test_knobs_can_be_read_back_and_removed(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """PUT replaces all knobs of a plugin, DELETE takes them away, GET shows them."""
    await sandbox.configure("a", latency=1.5, script=["429:2", "ok"], result=[1])
    await sandbox.configure("b", script=["hang"])
    await sandbox.configure("b", cancel="unsupported", reports="end")
    can = {"cancel": "supported", "reports": "progress"}
    cannot = {"cancel": "unsupported", "reports": "end"}
    shown = (await http.get("/control/plugins")).json()
    assert shown == {
        "plugins": {
            "a": {"latency": 1.5, "script": ["429:2", "ok"], "result": [1]} | can,
            "b": {"latency": 0.0, "script": ["ok"], "result": None} | cannot,
        }
    }
    await sandbox.remove("a")
    await sandbox.remove("never-there")
    assert list((await http.get("/control/plugins")).json()["plugins"]) == ["b"]


@pytest.mark.parametrize(
    "knobs",
    [
        {"latency": -1},
        {"latency": "NaN"},
        {"script": []},
        {"script": ["maybe"]},
        {"script": [200]},
        {"colour": "red"},
        {"cancel": "perhaps"},
        [],
    ],
)
async def test_bad_knobs_are_problems(http: httpx.AsyncClient, knobs: object) -> None:
    """What makes no sense is refused with 422 and the path of the field."""
    answer = await http.put("/control/plugins/a", json=knobs)
    assert (answer.status_code, code_of(answer)) == (422, "INVALID")
    assert answer.json()["errors"]


async def test_a_result_that_json_cannot_say_is_refused(http: httpx.AsyncClient) -> None:
    """NaN gets past most parsers, and would make every success of the plugin unreadable."""
    answer = await http.put("/control/plugins/a", content=b'{"result": NaN}')
    assert (answer.status_code, code_of(answer)) == (422, "INVALID")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("POST", "/control/plugins", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/plugin/runtime/a/execute", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_other_routes_are_problems(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    """Every refusal is problem+json, those of the framework too."""
    answer = await http.request(method, path)
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_the_client_says_why_it_was_refused(sandbox: SandboxClient) -> None:
    """A typo in a script fails the test that made it, with the words that exist."""
    with pytest.raises(SandboxError, match="'mabye' is no outcome"):
        await sandbox.configure("a", script=["mabye"])


async def test_deliveries_are_found_by_plugin_task_and_key(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Filters narrow down together; without any, all deliveries come by arrival."""
    await execute(http, "a", "key-1", task_id="t1")
    await execute(http, "a", "key-2", task_id="t2")
    await execute(http, "b", "key-3", task_id="t1")
    assert [d.key for d in await sandbox.deliveries()] == ["key-1", "key-2", "key-3"]
    assert [d.key for d in await sandbox.deliveries(plugin_id="a")] == ["key-1", "key-2"]
    assert [d.key for d in await sandbox.deliveries(task_id="t1")] == ["key-1", "key-3"]
    assert [d.key for d in await sandbox.deliveries(plugin_id="a", task_id="t1")] == ["key-1"]
    assert await sandbox.deliveries(key="key-4") == []


async def test_it_says_that_it_is_there(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """The health route answers, and the client waits for it."""
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    await sandbox.wait_ready()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "OK",
        "ok:1",
        "fail",
        "fail:",
        "fail:A B",
        "200",
        "299",
        "600",
        "50",
        "429:",
        "429:-1",
        "429:1.5",
        "slow",
        "slow:x",
        "slow:9999",
        "\N{ARABIC-INDIC DIGIT FIVE}03",
    ],
)
def test_words_that_are_no_outcome(word: str) -> None:
    """A word that is nearly right is refused, not guessed."""
    with pytest.raises(ValueError, match=r"outcome|needs|whole seconds"):
        Outcome.parse(word)


def test_a_status_may_be_written_as_a_number() -> None:
    """YAML reads 503 as a number; it means the word."""
    assert Knobs.model_validate({"script": [503, "ok"]}).script == ("503", "ok")
