"""`taskflow setup`: a namespace is made ready once, and found ready from then on."""

import time
import uuid

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from domain.attributes import SEARCH_ATTRIBUTES
from tests.starter.harness import Cli


async def test_a_namespace_is_made_ready_and_a_second_time_changes_nothing(
    cli: Cli, temporal: Client
) -> None:
    """It exists, keeps runs for as long as said, has every attribute, and `doctor` agrees."""
    name = f"n{uuid.uuid4().hex[:10]}"
    cli.environment["TEMPORAL_NAMESPACE"] = name
    before = cli.run("doctor", "--json").document["checks"]

    first = cli.json("setup", "--retention", "5d")
    again = cli.json("setup", "--retention", "5d")
    after = {check["name"]: check for check in cli.run("doctor", "--json").document["checks"]}

    fixes = {check["name"]: check["fix"] for check in before if not check["ok"]}
    assert "taskflow setup" in fixes["namespace"]
    assert fixes["search attributes"] == "see the namespace's check"
    assert first == {
        "namespace": name,
        "created": True,
        "retention": "5d",
        "retention_raised": False,
        "search_attributes_added": list(SEARCH_ATTRIBUTES),
    }
    assert again == first | {"created": False, "search_attributes_added": []}
    assert after["namespace"]["ok"]
    assert after["search attributes"]["ok"]
    found = await temporal.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=name)
    )
    assert found.config.workflow_execution_retention_ttl.ToTimedelta().days == 5


def test_a_retention_is_raised_and_never_lowered(cli: Cli) -> None:
    """What somebody chose to keep for longer stays; what was too short is said to be longer now."""
    cli.environment["TEMPORAL_NAMESPACE"] = f"n{uuid.uuid4().hex[:10]}"
    cli.ok("setup", "--retention", "3d")

    raised = cli.ok("setup", "--retention", "10d")
    kept = cli.ok("setup", "--retention", "4d")

    assert "keeps runs for 10d from now on" in raised
    assert "was ready: runs are kept for 10d" in kept


def test_a_server_that_comes_late_is_waited_for_and_no_longer(cli: Cli) -> None:
    """Exit code 3 after the time given, so that whoever starts the job tries again."""
    begun = time.monotonic()
    ended = cli.run("setup", "--wait", "2s", TEMPORAL_ADDRESS="127.0.0.1:1")

    assert ended.code == 3
    assert time.monotonic() - begun >= 2
    assert "TEMPORAL_ADDRESS" in ended.err


def test_a_bad_duration_is_bad_usage(cli: Cli) -> None:
    """Nothing is asked of Temporal; the message names the option."""
    ended = cli.run("setup", "--retention", "30", "--json")

    assert ended.code == 2
    assert ended.document["errors"][0]["path"] == "retention"
