"""Reports of plugins that were given secrets: whoever takes them takes the values out."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from domain.executions import ExecutionReport
from shared.secrets import Vault, variable_of
from starter.executions import WITHHELD, report
from tests.executions.harness import Executions, Told

VALUE = "hunter22-long"
VARIABLE = variable_of("acme", "db")
PARAMS = {"login": {"password": "secret://db"}}


@pytest.fixture(autouse=True)
def _seen_by_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, VALUE)


async def take(told: Told, seen: Mapping[str, str], says: ExecutionReport) -> None:
    """Report to a process that sees these variables."""
    await report(told.client, "acme", says, vault=Vault(None, seen))


async def test_what_reports_give_away_is_masked(executions: Executions) -> None:
    """Progress, result, message and code; what the plugin was called with had the value."""
    done, failed = [await executions.start(params=PARAMS) for _ in range(2)]
    told = await done.accepted()
    assert told.body["params"] == {"login": {"password": VALUE}}
    await take(told, {VARIABLE: VALUE}, told.says(0, progress=[VALUE], message=f"as {VALUE}"))
    progress = await told.progress()
    assert progress is not None
    assert (progress.progress, progress.message) == (["[secret://db]"], "as [secret://db]")
    await take(told, {VARIABLE: VALUE}, told.says(1, "SUCCESS", result={"k": VALUE}))
    end = await done.end()
    assert end.result is not None
    assert end.result.result == {"k": "[secret://db]"}

    told = await failed.accepted()
    says = told.says(0, "FAILED", error_code=VALUE, message=VALUE * 300)
    await take(told, {VARIABLE: VALUE}, says)
    end = await failed.end()
    assert end.code == "PLUGIN_FAILED"
    assert VALUE not in end.message


async def test_what_cannot_be_masked_is_withheld(executions: Executions) -> None:
    """The execution ends, and nothing but the code is kept, by a process that sees no secrets."""
    done, failed = [await executions.start(params=PARAMS) for _ in range(2)]
    told = await done.accepted()
    with capture_logs() as lines:
        await take(told, {}, told.says(0, "SUCCESS", result={"k": VALUE}))
        told = await failed.accepted()
        await take(told, {}, told.says(0, "FAILED", error_code="BUSY", message=VALUE))
    end = await done.end()
    assert end.result is not None
    assert end.result.result is None
    end = await failed.end()
    assert (end.code, end.message) == ("BUSY", WITHHELD)
    said = [line for line in lines if line.get("action") == "report_withheld"]
    assert len(said) == 2
    assert VALUE not in str(said)
