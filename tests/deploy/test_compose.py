"""The compose file agrees with itself, and with what it mounts and starts."""

import re
import subprocess
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from domain.duration import parse_duration
from shared.settings import ROOT
from starter.api.__main__ import GRACE as API_GRACE
from tests.conftest import TEMPORAL_BINARY
from tests.deploy.files import DEPLOY, OURS, Document, compose, service
from tests.docs.commands import complaint
from worker.main import ENDS_WITHIN

SERVICES: dict[str, Document] = compose()["services"]
SPANS = timedelta(seconds=5)
"""What telling of the last spans takes, and more."""
JOBS = {"schema", "setup"}
"""What runs once, and is waited for."""


def _waits_for(name: str) -> dict[str, str]:
    return {it: how["condition"] for it, how in service(name).get("depends_on", {}).items()}


def _option(name: str, option: str) -> str:
    [value] = [said for said in service(name)["command"] if said.startswith(f"{option}=")]
    return str(value).partition("=")[2]


def _listens(name: str) -> set[str]:
    """The ports on which the process of a service listens, in its container."""
    environment = service(name).get("environment", {})
    said = {
        "postgres": {"5432"},
        "temporal": {"7233"},
        "temporal-ui": {environment.get("TEMPORAL_UI_PORT")},
        "worker": {environment.get("TASKFLOW_METRICS_PORT")},
        "prometheus": {"9090"},
        "grafana": {"3000"},
    }
    if name in ("api", "sandbox"):
        return {_option(name, "--port")}
    return {str(port) for port in said.get(name, ())}


@pytest.mark.parametrize("name", OURS)
def test_what_our_image_is_started_with_is_a_command_of_ours(name: str) -> None:
    """Commands and their options exist, and so do the files that they name."""
    program, *arguments = service(name)["command"]
    if program == "taskflow":
        assert complaint(" ".join([program, *arguments])) is None
    else:
        assert (program, arguments[0]) == ("python", "-m")
        assert find_spec(arguments[1])
    for option in arguments:
        if option.startswith("--config="):
            assert (ROOT / option.removeprefix("--config=")).exists()


def test_images_are_pinned_to_a_release() -> None:
    """No tag that moves; Temporal's server and its tools are of one release."""
    for name, it in SERVICES.items():
        repository, _, tag = it["image"].partition(":")
        assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z]+)?", tag), f"{name}: {repository}:{tag}"
    assert SERVICES["schema"]["image"].split(":")[1] == SERVICES["temporal"]["image"].split(":")[1]
    assert len({service(name)["image"] for name in OURS}) == 1


def test_temporal_is_of_the_release_that_the_tests_run_on() -> None:
    """Server and Web UI, as the packaged program has them."""
    said = subprocess.run(
        [TEMPORAL_BINARY, "--version"], capture_output=True, text=True, check=True
    ).stdout
    for name, part in (("temporal", "Server"), ("temporal-ui", "UI")):
        release = SERVICES[name]["image"].split(":")[1]
        assert f"{part} {release}" in said, f"{name}: {release}, and tests run on {said}"


def test_everything_comes_up_in_its_order() -> None:
    """Database, schema, server, namespace, then what uses them; each waits for what it needs."""
    assert _waits_for("schema") == {"postgres": "service_healthy"}
    assert _waits_for("temporal") == {"schema": "service_completed_successfully"}
    assert _waits_for("temporal-ui") == {"temporal": "service_healthy"}
    assert _waits_for("setup") == {"temporal": "service_healthy"}
    for name in ("worker", "api"):
        assert _waits_for(name) == {"setup": "service_completed_successfully"}
    assert _waits_for("grafana") == {"prometheus": "service_healthy"}
    for name in SERVICES:
        for needed, how in _waits_for(name).items():
            if needed in JOBS:
                assert how == "service_completed_successfully"
            else:
                assert "test" in service(needed)["healthcheck"], needed
            assert "profiles" not in service(needed), "what is not started cannot be waited for"


def test_each_process_has_a_restart_policy_and_a_health_check() -> None:
    """Jobs are tried again when they fail; the Web UI's image has nothing to ask itself with."""
    for name, it in SERVICES.items():
        assert it["restart"] == ("on-failure:5" if name in JOBS else "unless-stopped"), name
        if name not in JOBS | {"temporal-ui"}:
            assert it["healthcheck"]["test"][0] == "CMD", name
            assert {"cpus", "memory"} <= it["deploy"]["resources"]["limits"].keys(), name
    assert service("worker")["deploy"]["replicas"] == 2


def test_workers_and_api_get_the_time_that_they_take_to_end() -> None:
    """The engine kills later than the process gives up by itself."""
    assert parse_duration(service("worker")["stop_grace_period"]) >= ENDS_WITHIN + SPANS
    assert parse_duration(service("api")["stop_grace_period"]).total_seconds() >= API_GRACE + 5


def test_ports_are_published_on_this_machine_only_and_the_database_not_at_all() -> None:
    """What is published is what the process listens on, and nothing twice."""
    published = [port for it in SERVICES.values() for port in it.get("ports", ())]
    assert "ports" not in service("postgres")
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)
    for name, it in SERVICES.items():
        assert {port.split(":")[2] for port in it.get("ports", ())} <= _listens(name), name


def test_the_console_links_to_where_the_web_ui_is_published() -> None:
    """And the Web UI takes itself to be there."""
    said = service("api")["environment"]["TASKFLOW_TEMPORAL_UI_URL"]
    default = re.fullmatch(r"\$\{TASKFLOW_TEMPORAL_UI_URL:-(.+)\}", said)
    assert default
    [published] = service("temporal-ui")["ports"]
    assert default[1] == f"http://{published.rpartition(':')[0]}"
    assert default[1] == service("temporal-ui")["environment"]["TEMPORAL_CORS_ORIGINS"]


def test_the_database_is_seen_by_temporal_alone() -> None:
    """A network that leads nowhere else."""
    assert compose()["networks"]["database"] == {"internal": True}
    inside = {name for name, it in SERVICES.items() if "database" in it["networks"]}
    assert inside == {"postgres", "schema", "temporal"}


def test_who_speaks_to_whom_shares_a_network_and_the_port() -> None:
    """Each host and port that a file names is a service that can be reached there."""
    spoken: list[tuple[str, str]] = [
        ("schema", f"{service('schema')['environment']['POSTGRES_SEEDS']}:5432"),
        ("temporal", f"{service('temporal')['environment']['POSTGRES_SEEDS']}:5432"),
        ("temporal-ui", service("temporal-ui")["environment"]["TEMPORAL_ADDRESS"]),
        ("sandbox", _option("sandbox", "--scheduler-url").removeprefix("http://")),
        ("worker", "sandbox:8089"),
        ("grafana", _datasource()["url"].removeprefix("http://")),
    ]
    spoken += [(it, service(it)["environment"]["TEMPORAL_ADDRESS"]) for it in ("worker", "api")]
    spoken += [("prometheus", target) for target in _scraped()]
    for speaker, address in spoken:
        host, _, port = address.partition(":")
        assert port in _listens(host), address
        assert set(service(speaker)["networks"]) & set(service(host)["networks"]), address


def test_prometheus_scrapes_every_worker_and_the_api() -> None:
    """By the names of the services; a worker's metrics listen for others, too."""
    port = service("worker")["environment"]["TASKFLOW_METRICS_PORT"]
    assert {f"worker:{port}", f"api:{_option('api', '--port')}"} <= set(_scraped())
    assert service("worker")["environment"]["TASKFLOW_METRICS_ADDRESS"] == "0.0.0.0"  # noqa: S104
    assert _option("api", "--host") == "0.0.0.0"  # noqa: S104 - in a container


def test_what_is_mounted_exists_and_is_where_it_is_looked_for() -> None:
    """Files of this repository, named volumes, and secrets that are declared."""
    for name, it in SERVICES.items():
        for volume in it.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert mode == ["ro"], f"{name}: {target}"
            else:
                assert source in compose()["volumes"], f"{name}: {source}"
        for secret in it.get("secrets", ()):
            assert secret in compose()["secrets"], f"{name}: {secret}"
        for variable, value in it.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert str(value).rpartition("/")[2] in it["secrets"], f"{name}: {variable}"
    used = {v.split(":")[0] for it in SERVICES.values() for v in it.get("volumes", ())}
    assert set(compose()["volumes"]) <= used
    assert f"./deploy/grafana/dashboards:{_dashboards()}:ro" in service("grafana")["volumes"]
    config = service("temporal")["environment"]["DYNAMIC_CONFIG_FILE_PATH"]
    assert f"./deploy/temporal/dynamicconfig.yaml:{config}:ro" in service("temporal")["volumes"]
    for name in ("schema", "temporal"):
        [script] = service(name)["command"][1:]
        assert any(volume.split(":")[1] == script for volume in service(name)["volumes"])


def test_the_history_shards_are_those_of_a_cluster() -> None:
    """They are fixed for good when the database is first used: 4, the default, would be too few."""
    assert service("temporal")["environment"]["NUM_HISTORY_SHARDS"] == "512"


def test_the_sandbox_is_for_demonstrations_and_takes_signed_calls_only() -> None:
    """Production has none; where it runs, it knows the secret that workers sign with."""
    assert service("sandbox")["profiles"] == ["demo"]
    file = service("worker")["environment"]["TASKFLOW_PLUGIN_SECRET_FILE"]
    assert service("api")["environment"]["TASKFLOW_PLUGIN_SECRET_FILE"] == file
    assert _option("sandbox", "--secret-file") == file


def test_our_containers_may_do_little() -> None:
    """No capability, no new privilege, nothing written but where it has to be."""
    for name in OURS:
        it = service(name)
        assert it["cap_drop"] == ["ALL"]
        assert it["security_opt"] == ["no-new-privileges:true"]
        assert it["read_only"] is True


def _scraped() -> list[str]:
    read = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    found: list[str] = []
    for job in read["scrape_configs"]:
        for names in job.get("dns_sd_configs", ()):
            found += [f"{name}:{names['port']}" for name in names["names"]]
        for group in job.get("static_configs", ()):
            found += [target.replace("localhost", "prometheus") for target in group["targets"]]
    return found


def _datasource() -> dict[str, Any]:
    file = DEPLOY / "grafana/provisioning/datasources/prometheus.yml"
    [found] = yaml.safe_load(file.read_text())["datasources"]
    return dict(found)


def _dashboards() -> str:
    file = DEPLOY / "grafana/provisioning/dashboards/taskflow.yml"
    [found] = yaml.safe_load(file.read_text())["providers"]
    return str(found["options"]["path"])
