"""The manifests agree with each other, with the compose file, and with the code."""

import re
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import yaml

from shared.settings import Settings
from starter.api.__main__ import GRACE as API_GRACE
from tests.deploy.files import (
    KUBERNETES,
    Document,
    instructions,
    manifest,
    manifests,
    pods,
    service,
    variables,
)
from worker.main import ENDS_WITHIN

PODS = dict(pods())
MOUNTED = "/run/secrets/taskflow/"
SETTINGS = KUBERNETES / "settings.yaml"


def _container(name: str) -> Document:
    [container] = PODS[name]["spec"]["containers"]
    return dict(container)


def _settings() -> dict[str, str]:
    return dict(manifest("ConfigMap", "taskflow-settings")["data"])


def test_each_folder_lists_its_manifests() -> None:
    """`kubectl apply -k` takes what its kustomization lists, so that has to be everything."""
    for file in KUBERNETES.rglob("kustomization.yaml"):
        listed = yaml.safe_load(file.read_text())["resources"]
        there = {it.name for it in file.parent.glob("*.yaml")} - {file.name}
        assert set(listed) == there, file


def test_everything_is_in_one_namespace_under_one_name() -> None:
    """Labels select it as a whole; the namespace asks for restricted pods."""
    for found in manifests():
        metadata = found["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "taskflow"
        if found["kind"] != "Namespace":
            assert metadata["namespace"] == "taskflow"
    labels = manifest("Namespace", "taskflow")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", ["taskflow-setup", "taskflow-worker", "taskflow-api"])
def test_a_pod_is_started_as_its_service_of_the_compose_file(name: str) -> None:
    """By the same command."""
    container = _container(name)
    assert container["command"] == service(container["name"])["command"]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_restricted(name: str) -> None:
    """As the Pod Security Standard of that name asks, and more: nothing is written."""
    pod, container = PODS[name]["spec"], _container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == instructions("USER")[0]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]
    assert container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_what_a_pod_mounts_and_refers_to_is_there(name: str) -> None:
    """Volumes, settings, the secret, the account, and the files below their mounts."""
    pod, container = PODS[name]["spec"], _container(name)
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert manifest("ServiceAccount", pod["serviceAccountName"])
    assert container["envFrom"] == [{"configMapRef": {"name": "taskflow-settings"}}]
    [secret] = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["secretName"] == "taskflow-secrets"
    said = _settings() | {it["name"]: it["value"] for it in container.get("env", ())}
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for variable, value in said.items():
        if variable.endswith("_FILE"):
            assert any(value.startswith(f"{mount}/") for mount in mounts), variable


def test_settings_name_the_same_files_as_the_compose_file() -> None:
    """One set of secrets serves both."""
    for variable in ("TASKFLOW_PLUGIN_SECRET_FILE", "TASKFLOW_CODEC_KEYS_FILE"):
        name = _settings()[variable].removeprefix(MOUNTED)
        assert name in service("worker")["secrets"]


def test_settings_that_are_named_and_not_made_are_ones_that_work() -> None:
    """What stands behind a `#` is read, and the collector's port is let out."""
    named = dict(re.findall(r"^  # ([A-Z_]+): (\S+)$", SETTINGS.read_text(), re.MULTILINE))
    assert named.keys() == {"OTEL_EXPORTER_OTLP_ENDPOINT", "TASKFLOW_DEPLOYMENT"}
    assert "TASKFLOW_DEPLOYMENT" in variables()
    port = int(named["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    for name in ("taskflow-worker", "taskflow-api"):
        rules = manifest("NetworkPolicy", name)["spec"]["egress"]
        assert port in {it["port"] for rule in rules for it in rule["ports"]}


def test_the_console_links_to_a_web_ui() -> None:
    """Where `kubectl port-forward`, as the line above says, brings it."""
    url = Settings(temporal_ui_url=_settings()["TASKFLOW_TEMPORAL_UI_URL"]).temporal_ui_url
    assert url
    [port] = re.findall(r"port-forward service/temporal-web (\d+)`", SETTINGS.read_text())
    assert url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("name", ["taskflow-worker", "taskflow-api"])
def test_a_deployment_lasts_through_nodes_and_zones_that_go(name: str) -> None:
    """Two of each, spread, one of them always there; selectors find their pods."""
    found = manifest("Deployment", name)["spec"]
    assert found["replicas"] == 2
    labels = PODS[name]["metadata"]["labels"]
    spread = PODS[name]["spec"]["topologySpreadConstraints"]
    assert {it["topologyKey"] for it in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    selectors = [
        found["selector"]["matchLabels"],
        manifest("Service", name)["spec"]["selector"],
        manifest("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
        manifest("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"],
        *(it["labelSelector"]["matchLabels"] for it in spread),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    budget = manifest("PodDisruptionBudget", name)["spec"]
    assert budget.get("minAvailable", budget.get("maxUnavailable")) == 1


def test_pods_get_the_time_that_their_processes_take_to_end() -> None:
    """The kubelet kills later than the process gives up by itself."""
    worker, api = PODS["taskflow-worker"]["spec"], PODS["taskflow-api"]["spec"]
    given = timedelta(seconds=worker["terminationGracePeriodSeconds"])
    assert given >= ENDS_WITHIN + timedelta(seconds=5)
    [_, pause] = _container("taskflow-api")["lifecycle"]["preStop"]["exec"]["command"]
    assert api["terminationGracePeriodSeconds"] >= int(pause) + API_GRACE + 5


def test_ports_agree_from_the_process_to_prometheus() -> None:
    """Options and variables, container, Service, network policy and monitor name one port each."""
    variables = {it["name"]: it["value"] for it in _container("taskflow-worker")["env"]}
    listens = {
        "taskflow-worker": int(variables["TASKFLOW_METRICS_PORT"]),
        "taskflow-api": int(_container("taskflow-api")["command"][-1].removeprefix("--port=")),
    }
    for name, port in listens.items():
        [exposed] = _container(name)["ports"]
        [served] = manifest("Service", name)["spec"]["ports"]
        [monitored] = manifest("ServiceMonitor", name)["spec"]["endpoints"]
        [let_in] = manifest("NetworkPolicy", name)["spec"]["ingress"]
        assert exposed["containerPort"] == served["port"] == port
        assert exposed["name"] == served["targetPort"]
        assert served["name"] == monitored["port"]
        assert monitored["path"] == "/metrics"
        assert let_in["ports"] == [{"protocol": "TCP", "port": port}]
        labels = manifest("Service", name)["metadata"]["labels"]
        selected = manifest("ServiceMonitor", name)["spec"]["selector"]["matchLabels"]
        assert selected.items() <= labels.items()


def test_probes_ask_what_there_is() -> None:
    """Ports by their names, routes of the API, and the file of a worker that is ready."""
    for name in ("taskflow-worker", "taskflow-api"):
        container = _container(name)
        ports = {port["name"] for port in container["ports"]}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            for asked in (probe.get("httpGet"), probe.get("tcpSocket")):
                assert asked is None or asked["port"] in ports
    api = _container("taskflow-api")
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz"
    worker = _container("taskflow-worker")
    [file] = re.findall(r"TASKFLOW_READY_FILE=(\S+)", " ".join(instructions("ENV")))
    assert worker["readinessProbe"]["exec"]["command"] == ["test", "-f", file]
    folder = file.rpartition("/")[0]
    assert folder in {mount["mountPath"] for mount in worker["volumeMounts"]}


def test_what_processes_call_is_let_out() -> None:
    """Temporal from all of them, plugins from workers, at the addresses of the settings."""
    host, _, port = _settings()["TEMPORAL_ADDRESS"].partition(":")
    everybody = manifest("NetworkPolicy", "taskflow-default")["spec"]
    assert everybody["podSelector"] == {}
    assert "ingress" not in everybody
    assert _lets_out(everybody, host.split(".")[1], int(port))
    plugins = re.fullmatch(r"http://([^:]+):(\d+)", _settings()["TASKFLOW_PLUGIN_URL"])
    assert plugins
    worker = manifest("NetworkPolicy", "taskflow-worker")["spec"]
    assert _lets_out(worker, plugins[1].split(".")[1], int(plugins[2]))


def _lets_out(policy: Document, namespace: str, port: int) -> bool:
    return any(
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        in rule["to"]
        and port in {it["port"] for it in rule["ports"]}
        for rule in policy["egress"]
    )


def test_workers_are_scaled_by_the_queues_that_they_work_on() -> None:
    """KEDA asks the same server and namespace, and never scales to none."""
    found = manifest("ScaledObject", "taskflow-worker")["spec"]
    assert found["scaleTargetRef"]["name"] in {
        it["metadata"]["name"] for it in manifests("Deployment")
    }
    assert found["minReplicaCount"] >= 2
    queue = Settings.model_fields["task_queue"].default
    asked = [trigger["metadata"] for trigger in found["triggers"]]
    assert {trigger["type"] for trigger in found["triggers"]} == {"temporal"}
    assert [(it["taskQueue"], it["queueTypes"]) for it in asked] == [
        (queue, "workflow"),
        (queue, "activity"),
    ]
    for it in asked:
        assert it["endpoint"] == _settings()["TEMPORAL_ADDRESS"]
        assert it["namespace"] == _settings()["TEMPORAL_NAMESPACE"]
        assert it["targetQueueSize"].isdecimal()


def test_the_image_is_that_of_the_compose_file() -> None:
    """By the kustomization, where another registry is named once."""
    [image] = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    assert f"{image['newName']}:{image['newTag']}" == service("worker")["image"]
    assert {_container(name)["image"] for name in PODS} == {image["name"]}


def test_the_rules_are_those_of_prometheus() -> None:
    """`python deploy/kubernetes/monitoring/prometheusrule.py` writes them after a change."""
    script = KUBERNETES / "monitoring/prometheusrule.py"
    spec = spec_from_file_location("prometheusrule", script)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert manifest("PrometheusRule", "taskflow") == module.prometheus_rule(), f"run {script}"
