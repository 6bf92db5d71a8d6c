"""The files have the form that Compose, Kubernetes, the Prometheus operator and KEDA ask for.

No engine was at hand: these are their schemas, kept in `schemas/`.
"""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.deploy.files import Document, compose, manifest, manifests

SCHEMAS = Path(__file__).parent / "schemas"
OPERATORS = {
    "ServiceMonitor": "servicemonitor.json",
    "PrometheusRule": "prometheusrule.json",
    "ScaledObject": "scaledobject.json",
}


def _schema(name: str) -> Document:
    read: Document = json.loads((SCHEMAS / name).read_text())
    return read


def _of_kind(kind: str) -> Document:
    if kind in OPERATORS:
        return _schema(OPERATORS[kind])
    kubernetes = _schema("kubernetes.json")
    definition = kubernetes["kinds"][kind]
    return {"$ref": f"#/definitions/{definition}", "definitions": kubernetes["definitions"]}


def _problems(schema: Document, document: Any) -> list[str]:
    errors = jsonschema_rs.validator_for(schema).iter_errors(document)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose Specification."""
    assert _problems(_schema("compose-spec.json"), compose()) == []


@pytest.mark.parametrize(
    "found", manifests(), ids=lambda it: f"{it['kind']} {it['metadata']['name']}"
)
def test_each_manifest_is_of_its_kind(found: Document) -> None:
    """By the strict schema of its kind: no unknown field, no wrong type."""
    assert _problems(_of_kind(found["kind"]), found) == []


def test_a_field_that_is_misspelt_is_found() -> None:
    """The schemas refuse what is wrong, in every kind of file."""
    changed = copy.deepcopy(compose())
    changed["services"]["api"]["helthcheck"] = {}
    assert _problems(_schema("compose-spec.json"), changed)
    for kind, name, path in (
        ("Deployment", "taskflow-api", ("template", "spec", "containers", 0)),
        ("ServiceMonitor", "taskflow-api", ("endpoints", 0)),
        ("ScaledObject", "taskflow-worker", ("triggers", 0)),
        ("PrometheusRule", "taskflow", ("groups", 0, "rules", 0)),
    ):
        changed = copy.deepcopy(manifest(kind, name))
        inner = changed["spec"]
        for step in path:
            inner = inner[step]
        inner["lables"] = {}
        assert _problems(_of_kind(kind), changed), kind
