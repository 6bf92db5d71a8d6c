"""`quota`, and the tenants of a file, on the command line: with a worker, and with none."""

import time
from typing import Any

import pytest

from sandbox.client import SandboxClient
from tests.starter.harness import Cli, eventually

IDLE = {"TASKFLOW_TASK_QUEUE": "no-worker-takes-this-up"}

FILE = """\
tenants:
  - tenant_id: {tenant}
    quota: {{max_concurrent: 2, resources: {{gpu: 1}}}}
    mutex_groups: {{warehouse: 1}}
tasks:
  - tenant_id: {tenant}
    task_id: load
    plugin_id: {tenant}
    triggers: [{{cron: "0 0 1 1 *"}}]
    heartbeat_timeout: 3s
    overlap: allow
"""


def limits_of(cli: Cli, tenant: str) -> Any:
    """What `quota` tells of the tenant's limits."""
    [view] = cli.json("quota", tenant)["tenants"]
    return view["limits"]


@pytest.mark.usefixtures("worker")
def test_a_quota_is_shown_as_a_document_of_a_fixed_shape(cli: Cli, tenant: str) -> None:
    """Every limit with what is used of it, and who holds and waits, whoever declared it."""
    cli.ok("apply", cli.file("tasks.yaml", FILE.format(tenant=tenant)))

    def row(kind: str, name: str | None, limit: int) -> dict[str, Any]:
        return {"kind": kind, "name": name, "limit": limit, "used": 0, "waiting": 0}

    [view] = cli.json("quota", tenant)["tenants"]
    counters = view.pop("counters")
    assert view == {
        "tenant_id": tenant,
        "limits": {
            "max_concurrent": 2,
            "resources": {"gpu": 1},
            "mutex_groups": {"warehouse": 1},
            "fairness_weight": 1.0,
        },
        "known": True,
        "in_use": [
            row("max_concurrent", None, 2),
            row("resource", "gpu", 1),
            row("mutex", "warehouse", 1),
        ],
        "holders": [],
        "queue": [],
        "changes": [],
    }
    assert set(counters.values()) == {0}
    assert cli.json("quota")["tenants"] == [{**view, "counters": counters}], "TASKFLOW_TENANT"


@pytest.mark.usefixtures("worker")
def test_limits_are_set_and_taken_away_by_name(cli: Cli, tenant: str) -> None:
    """What the command says of a change is what the next one shows; saying it again is nothing."""
    setting = ("--max-concurrent", "3", "--resource", "gpu=2", "--resource", "tpu=1")
    [view] = cli.json("quota", tenant, *setting, "--group", "m=4")["tenants"]
    assert view["changes"] == [
        "max_concurrent: none -> 3",
        "resource gpu: none -> 2",
        "resource tpu: none -> 1",
        "mutex group m: undeclared -> 4",
    ]
    assert limits_of(cli, tenant) == view["limits"]
    assert "nothing to change" in cli.ok("quota", tenant, *setting)

    said = cli.ok("quota", tenant, "--max-concurrent", "none", "--resource", "gpu=none")
    assert "  max_concurrent: 3 -> none\n" in said
    assert limits_of(cli, tenant) == {
        "max_concurrent": None,
        "resources": {"tpu": 1},
        "mutex_groups": {"m": 4},
        "fairness_weight": 1.0,
    }


@pytest.mark.usefixtures("worker")
async def test_more_runs_go_as_soon_as_more_may(
    cli: Cli, tenant: str, plugin: SandboxClient
) -> None:
    """A run that waits for the quota starts when that is raised, while the first goes on."""
    await plugin.configure(tenant, script=["hang"])
    cli.ok("apply", cli.file("tasks.yaml", FILE.format(tenant=tenant)))
    cli.ok("quota", tenant, "--max-concurrent", "1")
    runs = [cli.json("trigger", f"{tenant}/load")["run_id"] for _ in range(2)]

    def view() -> Any:
        return cli.json("quota", tenant)["tenants"][0]

    def held(count: int) -> bool:
        return len(view()["holders"]) == count

    eventually(lambda: held(1) and len(view()["queue"]) == 1)
    assert sorted(view()["holders"] + view()["queue"]) == sorted(runs)
    rows = cli.ok("quota", tenant).splitlines()
    assert any(row.split() == ["the", "tenant's", "max_concurrent", "1", "1", "1"] for row in rows)
    cli.ok("quota", tenant, "--max-concurrent", "2")
    eventually(lambda: held(2))
    assert view()["queue"] == []
    for run_id in runs:
        cli.ok("cancel", run_id)
    eventually(lambda: held(0))


def test_an_unknown_tenant_is_exit_code_1_and_a_way_out(cli: Cli, tenant: str) -> None:
    """Who mistyped a tenant is told that it has none, and who meant it how to set one."""
    ended, tool = cli.run("quota", tenant), cli.run("quota", tenant, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert f"tenant '{tenant}' has no quota" in ended.err
    assert f"taskflow quota {tenant} --max-concurrent N" in ended.err
    assert (tool.code, tool.err) == (1, "")
    [error] = tool.document["errors"]
    assert error["message"] == ended.err.strip()


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("max-concurrent", ("--max-concurrent", "0")),
        ("max-concurrent", ("--max-concurrent", "-1")),
        ("max-concurrent", ("--max-concurrent", "1.5")),
        ("max-concurrent", ("--max-concurrent", "None")),
        ("max-concurrent", ("--max-concurrent", "1000001")),
        ("max-concurrent", ("--max-concurrent", "9" * 5000)),
        ("max-concurrent", ("--max-concurrent", "²")),
        ("max-concurrent", ("--max-concurrent", "")),
        ("resource", ("--resource", "gpu")),
        ("resource", ("--resource", "gpu=")),
        ("resource", ("--resource", "=1")),
        ("resource", ("--resource", "GPU=1")),
        ("resource", ("--resource", "gpu=1", "--resource", "gpu=2")),
        ("group", ("--group", "m=0")),
        ("group", ("--group", "m")),
        ("tenant", ("../x", "--max-concurrent", "1")),
    ],
)
def test_a_bad_value_is_exit_code_2_and_names_its_option(
    cli: Cli, tenant: str, path: str, arguments: tuple[str, ...]
) -> None:
    """Found before Temporal is asked for anything, and told as one document."""
    good = () if path == "tenant" else (tenant, "--resource", "good=1")
    tool = cli.run("quota", *good, *arguments, "--json")
    assert (tool.code, tool.err) == (2, "")
    [error] = tool.document["errors"]
    assert error["path"] == path


def test_a_bad_value_beside_good_ones_changes_nothing(cli: Cli, tenant: str) -> None:
    """A person reads the option and what was wrong with it; the tenant has no quota yet."""
    ended = cli.run("quota", tenant, "--max-concurrent", "2", "--resource", "gpu=x", **IDLE)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == ("resource: 'x' is neither a whole number from 1 to 1,000,000 nor `none`\n")
    assert cli.run("quota", tenant).code == 1


def test_a_change_without_a_tenant_is_refused(cli: Cli) -> None:
    """All tenants can be shown at once, and never changed at once."""
    cli.environment.pop("TASKFLOW_TENANT")
    ended = cli.run("quota", "--max-concurrent", "1")
    assert ended.code == 2
    assert "taskflow quota TENANT" in ended.err


def test_a_table_fits_100_columns(cli: Cli) -> None:
    """Also with the longest names and the highest numbers; none of a name is cut off."""
    name = "n" * 64
    arguments = ("--resource", f"{name}=1000000", "--group", f"{name}=1000000")
    changed = cli.run("quota", name, *arguments, **IDLE)
    shown = cli.run("quota", name, **IDLE)
    for ended in (changed, shown):
        assert (ended.code, ended.err) == (0, "")
        assert max(map(len, ended.out.splitlines())) <= 100
        assert ended.out.count("n" * 40) >= 3


def test_without_a_worker_limits_are_shown_and_use_is_unknown(cli: Cli, tenant: str) -> None:
    """Within seconds, in words and in JSON; nothing is said to be free that may be held."""
    cli.run("quota", tenant, "--max-concurrent", "3", **IDLE)
    cli.run("quota", tenant, "--resource", "gpu=2", **IDLE)
    began = time.monotonic()
    ended = cli.run("quota", tenant, **IDLE)
    assert time.monotonic() - began < 8
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["the", "tenant's", "max_concurrent", "3", "?", "?"] in rows
    assert ["resource", "gpu", "2", "?", "?"] in rows
    assert "what is in use is not known" in ended.out
    [view] = cli.run("quota", tenant, "--json", **IDLE).document["tenants"]
    assert view["known"] is False
    assert [(row["limit"], row["used"], row["waiting"]) for row in view["in_use"]] == [
        (3, None, None),
        (2, None, None),
    ]


@pytest.mark.usefixtures("worker")
def test_a_file_tells_its_tenants_changes_and_applies_them_once(cli: Cli, tenant: str) -> None:
    """The plan and the apply show the same words; the second apply has nothing to do."""
    file = cli.file("tasks.yaml", FILE.format(tenant=tenant))
    plan, done, again = cli.ok("plan", file), cli.ok("apply", file), cli.ok("apply", file)
    for said in (plan, done):
        assert f"~ tenant {tenant}\n    max_concurrent: none -> 2\n" in said
    assert "1 tenant to change, 1 to create. Nothing was changed yet" in plan
    assert "1 tenant changed, 1 created in " in done
    assert "Nothing to change." in again
    assert f"tenant {tenant}" not in again


def test_typos_about_a_tenant_are_told_by_line(cli: Cli, tenant: str) -> None:
    """Each names the key that was meant; the tenant and its tasks stay unknown."""
    wrong = FILE.format(tenant=tenant).replace("max_concurrent", "max_concurent")
    file = cli.file("wrong.yaml", wrong.replace("mutex_groups", "mutex_group"))
    ended = cli.run("apply", file)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "wrong.yaml:3: tenants[0].quota.max_concurent: is not a known key: "
        "did you mean 'max_concurrent'?",
        "wrong.yaml:4: tenants[0].mutex_group: is not a known key: did you mean 'mutex_groups'?",
        "2 problems: nothing was changed",
    ]
    assert cli.run("quota", tenant).code == 1


def test_a_task_that_does_not_fit_its_tenant_is_told_by_line(cli: Cli, tenant: str) -> None:
    """Of a file as of one task from standard input: the place is where it stands."""
    cli.run("quota", tenant, "--group", "warehouse=1", **IDLE)
    task = "task_id: t\nplugin_id: p\ntriggers: [{every: 1h}]\nmutex: [warehuose]\n"
    alone = cli.run("register", "-", stdin=task)
    tool = cli.run("register", "-", "--json", stdin=task)
    message = "'warehuose' is not a mutex group of the tenant (warehouse): declare it there"
    assert alone.code == 2
    assert alone.err.splitlines() == [
        f"standard input:4: mutex[0]: {message}",
        "1 problem: nothing was changed",
    ]
    assert tool.document == {"errors": [{"path": "mutex[0]", "message": message, "line": 4}]}
    assert cli.run("show", "t").code == 1
