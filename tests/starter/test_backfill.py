"""`backfill`: fires of the past run once each, under the ids that their schedule gives them."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.due import due_times
from sandbox.client import SandboxClient
from tests.conftest import task_of
from tests.starter.harness import Cli, eventually

pytestmark = pytest.mark.usefixtures("worker")

TASK = """\
task_id: hourly
plugin_id: {plugin}
triggers: [{{cron: "0 * * * *"}}]
stagger: 10m
overlap: {overlap}
"""


@pytest.mark.parametrize("overlap", ["allow", "skip"])
async def test_fires_of_the_past_run_once_each(
    cli: Cli, tenant: str, plugin: SandboxClient, overlap: str
) -> None:
    """A dry run starts nothing; then every fire has its run; then there is nothing left to do."""
    cli.ok("register", "-", stdin=TASK.format(plugin=tenant, overlap=overlap))
    task = f"{tenant}/hourly"
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    span = ("--from", (end - timedelta(hours=4)).isoformat(), "--to", end.isoformat())

    planned = cli.json("backfill", task, *span, "--dry-run")
    assert not planned["started"]
    assert not await plugin.deliveries(plugin_id=tenant)

    done = cli.json("backfill", task, *span)
    wanted = task_of(tenant_id=tenant, task_id="hourly", stagger="10m", triggers=[_CRON])
    nominal = [
        due.nominal_time.isoformat().replace("+00:00", "Z")
        for due in due_times(wanted, after=end - timedelta(hours=5), until=end + _HOUR)
        if end - timedelta(hours=4) <= due.nominal_time <= end
    ]
    assert [fire["nominal_time"] for fire in done["started"]] == nominal
    assert done["started"] == planned["to_start"]

    ids = {fire["run_id"] for fire in done["started"]}
    runs = eventually(lambda: _ended(cli, task, len(ids)))
    assert {run["run_id"] for run in runs} == ids
    assert {run["nominal_time"] for run in runs} == set(nominal)
    assert all(run["reason"].startswith("backfilled by ") for run in runs)
    assert {one.key for one in await plugin.deliveries(plugin_id=tenant)} == ids

    again = cli.json("backfill", task, *span)
    assert not again["started"]
    assert {fire["run_id"] for fire in again["present"]} == ids


_CRON = {"cron": "0 * * * *"}
_HOUR = timedelta(hours=1)


def _ended(cli: Cli, task: str, count: int) -> list[dict[str, str]]:
    runs: list[dict[str, str]] = cli.json("runs", task, "--status", "SUCCESS")["runs"]
    return runs if len(runs) >= count else []


@pytest.mark.parametrize(
    ("span", "code", "message"),
    [
        (("--from", "2h", "--to", "2100-01-01T00:00:00Z"), 1, "ends in the past"),
        (("--from", "1h", "--to", "2h"), 1, "--to is before --from"),
        (("--from", "yesterday"), 2, "neither a duration"),
        (("--from", "3650d"), 1, "choose a shorter time"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(
    cli: Cli, tenant: str, span: tuple[str, ...], code: int, message: str
) -> None:
    """Times to come, times the wrong way round and far too many fires start nothing."""
    cli.ok("register", "-", stdin=TASK.format(plugin=tenant, overlap="allow"))
    ended = cli.run("backfill", f"{tenant}/hourly", *span)
    assert ended.code == code
    assert message in ended.err
    assert cli.json("runs", f"{tenant}/hourly") == {"runs": []}
