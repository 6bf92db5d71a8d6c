"""The files of a deployment, read: the compose file, the image's, the manifests, the example."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from shared.settings import ROOT, Settings

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = ROOT / "Dockerfile"
EXAMPLE = ROOT / ".env.example"
OURS = ("setup", "worker", "api", "sandbox")
"""Services of the compose file that are made of our image."""
SECRETS = "/run/secrets/"

Document = dict[str, Any]


@cache
def compose() -> Document:
    """The compose file, its anchors and merges resolved."""
    read: Document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def service(name: str) -> Document:
    """One service of it."""
    found: Document = compose()["services"][name]
    return found


@cache
def manifests(kind: str | None = None) -> list[Document]:
    """Every object of `deploy/kubernetes`, or those of a kind."""
    if kind is not None:
        return [found for found in manifests() if found["kind"] == kind]
    return [
        found
        for file in sorted(KUBERNETES.rglob("*.yaml"))
        if file.name != "kustomization.yaml"
        for found in yaml.safe_load_all(file.read_text())
    ]


def manifest(kind: str, name: str) -> Document:
    """The one object of this kind and name."""
    [found] = [found for found in manifests(kind) if found["metadata"]["name"] == name]
    return found


def pods() -> Iterator[tuple[str, Document]]:
    """The pods of what runs pods, each by the name of that."""
    for found in manifests():
        if "template" in found.get("spec", {}):
            yield found["metadata"]["name"], found["spec"]["template"]


def instructions(name: str) -> list[str]:
    """What stands behind each instruction of this name in the Dockerfile, on one line."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return re.findall(rf"^\s*{name} (.+)$", text, re.MULTILINE)


def variables() -> set[str]:
    """Every variable that the settings read, and what else processes of ours look at."""
    return {f"TASKFLOW_{name.upper()}" for name in Settings.model_fields} | {"TASKFLOW_READY_FILE"}
