"""Prometheus' own programs, from Debian's package."""

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from starter.dev.ports import HOST, Wanted, settle
from tests.alerts.shipped import PROMETHEUS
from tests.debian import debian_program
from tests.watch.processes import process

PACKAGE = "prometheus"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [debian_program("promtool", PACKAGE), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server with the rules that we ship, that scrapes and evaluates each second."""

    http: httpx.AsyncClient

    async def asks(self, path: str, **parameters: str) -> Any:
        """What its HTTP API answers; None while it does not."""
        try:
            answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        except httpx.TransportError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    async def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        found = (await self.asks("alerts") or {"alerts": []})["alerts"]
        return {
            alert["labels"]["alertname"]: alert for alert in found if alert["state"] == "firing"
        }

    async def targets(self) -> dict[str, str]:
        """How each job's process is."""
        found = (await self.asks("targets") or {"activeTargets": []})["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}


@asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, int]) -> AsyncIterator[Prometheus]:
    """Run it on the configuration that we ship, with processes of ours as the targets of its jobs.

    What differs: everything is done each second, groups of rules too, and addresses stand in place
    of names that are looked up.
    """
    [port] = settle([Wanted("prometheus", "", 0)])
    said = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    said["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (folder / "rules").mkdir()
    for rules in PROMETHEUS.glob("rules/*.yml"):
        groups = yaml.safe_load(rules.read_text())["groups"]
        often = [{name: group[name] for name in ("name", "rules")} for group in groups]
        (folder / "rules" / rules.name).write_text(yaml.safe_dump({"groups": often}))
    ports = {**targets, "prometheus": port}
    said["scrape_configs"] = [
        {
            "job_name": job["job_name"],
            "static_configs": [{"targets": [f"{HOST}:{ports[job['job_name']]}"]}],
        }
        for job in said["scrape_configs"]
    ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(said))
    command = [
        debian_program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    url = f"http://{HOST}:{port}"
    with process(folder / "prometheus.log", *command):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            yield Prometheus(http)
