"""Every query of rules and dashboard: Prometheus can read it, and what it names is there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import ROOT
from tests.alerts.programs import promtool
from tests.alerts.promql import Labels, QueryError, read
from tests.alerts.shipped import DASHBOARD, GRAFANA, PROMETHEUS, known, rules, scraped

VARIABLES = {"$__rate_interval": "5m", "$tenant": ".*", "$plugin": ".*"}


def filled(query: str) -> str:
    """A query of the dashboard as Grafana sends it."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def panels() -> list[dict[str, Any]]:
    """Those of the dashboard that show something, rows left out."""
    shown = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in shown if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Every query with where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"])


def test_the_dashboard_is_what_its_description_makes() -> None:
    """Whoever changes one of them changes the other."""
    made = subprocess.run(
        [sys.executable, str(GRAFANA / "dashboard.py")], capture_output=True, text=True, check=True
    )
    assert made.stdout == DASHBOARD.read_text()


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """`promtool` reads the dashboard's as if they were rules."""
    asked = [
        {"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(queries())
    ]
    assert len(asked) > 120
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout


def test_every_query_names_metrics_and_labels_that_there_are() -> None:
    """And what it joins has the labels to be joined by, or it would never show anything."""
    named = set[str]()
    for place, query in queries():
        try:
            named |= read(query, known()).names
        except QueryError as error:
            pytest.fail(f"{place}: {error}")
    assert len(named & scraped().keys()) > 50


def test_legends_and_annotations_name_labels_of_their_results() -> None:
    """A label that is not there would be shown as nothing."""
    for panel in panels():
        for target in panel["targets"]:
            labels = read(filled(target["expr"]), known()).labels or Labels()
            if target["format"] != "heatmap":
                assert _named(target["legendFormat"]) <= labels, panel["title"]
    for rule in rules():
        labels = read(rule["expr"], known()).labels or Labels()
        for text in rule.get("annotations", {}).values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels, rule["alert"]


def _named(legend: str) -> set[str]:
    return set(re.findall(r"{{(\w+)}}", legend))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(task_scheduler_lost_total)", "there is no metric 'task_scheduler_lost_total'"),
        ('task_admission_attempts_total{tenant_id="a"}', "has no label tenant_id"),
        ("sum by (tenant_id) (task_execution_open_calls)", "aggregates by tenant_id"),
        ("taskflow:slo_errors:ratio1h / taskflow:admission_contended:ratio5m", "never matches"),
        ("task_work_orders_open and on (queue) task_temporal_backlog", "not both have"),
        ("histogram_quantile(0.9, sum(rate(task_canary_seconds_bucket[5m])))", "needs the label"),
    ],
)
def test_a_query_that_would_never_show_anything_is_found(query: str, said: str) -> None:
    """So that the tests above can fail."""
    with pytest.raises(QueryError, match=re.escape(said)):
        read(query, known())


def test_every_panel_says_what_it_shows_and_in_what_unit() -> None:
    """Titles and ids are told apart, nothing lies over something else, and nobody guesses."""
    document = json.loads(DASHBOARD.read_text())
    assert document["title"] == "Runtime Ops / Scheduler Overview"
    rows = [panel["title"] for panel in document["panels"] if panel["type"] == "row"]
    assert rows == [
        "SLO",
        "Triggers",
        "Executions",
        "Admission and queues",
        "SLA and work orders",
        "Dependencies",
        "Workers",
        "Temporal",
    ]
    variables = {each["name"]: each["type"] for each in document["templating"]["list"]}
    assert variables == {"datasource": "datasource", "tenant": "query", "plugin": "query"}
    shown = panels()
    assert len({panel["title"] for panel in shown}) == len(shown)
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    taken = set[tuple[int, int]]()
    for panel in document["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    units = {"short", "none", "percentunit", "s", "cpm", "bytes"}
    for panel in shown:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in units, panel["title"]


def test_units_are_those_of_the_metrics() -> None:
    """Seconds are shown as seconds, bytes as bytes, shares in percent, rates by the minute."""
    for panel in panels():
        unit = panel["fieldConfig"]["defaults"]["unit"]
        asked = panel["targets"][0]["expr"]
        if unit == "s":
            assert re.search(r"_seconds(_bucket)?\b", asked), panel["title"]
        if unit == "bytes":
            assert "_bytes" in asked, panel["title"]
        if unit == "cpm":
            assert asked.startswith("sum"), panel["title"]
            assert asked.endswith("* 60"), panel["title"]
        if unit == "percentunit":
            assert re.search(r":ratio| / ", asked), panel["title"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Data source and folder are those of the compose file; the scrape interval is Prometheus'."""
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/taskflow.yml").read_text())[
        "providers"
    ]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    prometheus = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    mounts = services["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in mounts
    for job in prometheus["scrape_configs"]:
        for found in job.get("dns_sd_configs", []):
            assert set(found["names"]) <= services.keys()
