"""Alert rules: that Prometheus takes them, and that each fires when it must and not else."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.programs import promtool
from tests.alerts.shipped import CASES, PROMETHEUS, alerts


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    """Paths between the files hold, and every template of an annotation can be read."""
    checked = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("SUCCESS") == 4  # the files found, the file, two files of rules


@pytest.mark.parametrize("file", CASES, ids=[file.stem for file in CASES])
def test_alerts_fire_when_they_must_and_not_else(file: Path) -> None:
    """Each case is series of metrics, and what fires at which time."""
    tested = promtool("test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """An alert that nobody saw fire is a guess, and so is one that nobody saw keep still."""
    fires, keeps_still = set[str](), set[str]()
    for names, firing in (case for file in CASES for case in _cases(file)):
        (fires if firing else keeps_still).update(names)
    assert fires == set(alerts())
    assert keeps_still == set(alerts())


def _cases(file: Path) -> list[tuple[list[str], bool]]:
    """The alerts that each test of a file is about, and whether it wants them to fire."""
    found: list[tuple[list[str], bool]] = []
    for test in yaml.safe_load(file.read_text())["tests"]:
        found += [
            ([case["alertname"]], bool(case.get("exp_alerts")))
            for case in test.get("alert_rule_test", [])
        ]
        for case in test.get("promql_expr_test", []):
            if said := re.search(r'ALERTS\{alertname=(~?)"([^"]+)"', case["expr"]):
                matching = [name for name in alerts() if re.fullmatch(said[2], name)]
                assert matching, case["expr"]
                found.append((matching, bool(case["exp_samples"])))
    return found


def test_every_alert_says_how_urgent_it_is_and_what_it_means() -> None:
    """Whoever is called reads one line, then two, then the runbook; names are told apart."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for name, alert in alerts().items():
        said: dict[str, Any] = alert["annotations"]
        assert re.fullmatch(r"Taskflow([A-Z][a-z]+)+", name)
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert said.keys() == {"summary", "description", "runbook_url"}, name
        assert len(said["summary"]) <= 120, name
        assert said["description"].endswith("."), name
        seen[said["summary"]].append(name)
    shared = [names for names in seen.values() if len(names) > 1]
    assert len(shared) == 2  # fast and slow of each budget say the same, and differ in severity
