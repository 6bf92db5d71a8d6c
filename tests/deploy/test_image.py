"""The Dockerfile makes an image of what is there, and of nothing more."""

import re
import tomllib
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.deploy.files import DEPLOY, DOCKERFILE, OURS, instructions, service

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _copied() -> set[str]:
    """What is copied from here, not from an earlier stage."""
    copies = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return {name for line in copies for name in line[:-1]}


def test_every_stage_is_of_one_pinned_python() -> None:
    """A release and its system, never `latest`."""
    bases = {line.split()[0] for line in instructions("FROM")}
    [base] = bases
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)


def test_all_packages_and_what_they_read_are_copied() -> None:
    """A new package, or a file that a package needs at run time, may not be missing."""
    packages = {
        it.rstrip("*") for it in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    needed = {"config", "deploy/healthcheck.py", "examples", "pyproject.toml", "requirements.lock"}
    assert packages | needed <= _copied()
    for name in _copied():
        assert (ROOT / name).exists(), name


def test_nothing_else_can_get_into_the_image() -> None:
    """What is copied is what `.dockerignore` lets through: above all no secret."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == _copied()


def test_packages_come_from_the_lock_by_their_hashes() -> None:
    """And of these only those that running needs: every extra but that of developers."""
    runs = " ".join(instructions("RUN"))
    assert "--require-hashes --no-deps --requirement requirements.lock" in runs
    assert runs.count("pip install --no-index") == runs.count("pip install")
    [extras] = re.findall(r'"\.\[(.*?)\]"', runs)
    assert set(extras.split(",")) == set(PROJECT["project"]["optional-dependencies"]) - {"dev"}
    assert "://" not in DOCKERFILE.read_text()


def test_it_runs_as_a_user_of_its_own_and_tells_how_it_is() -> None:
    """The number is that of the manifests and of the compose file; the check is in the image."""
    [user] = instructions("USER")
    assert f"--uid {user} " in " ".join(instructions("RUN"))
    for name in OURS:
        assert any(f"uid={user}," in mount for mount in service(name)["tmpfs"])
    [check] = instructions("HEALTHCHECK")
    assert check.endswith('CMD ["python", "deploy/healthcheck.py"]')
    exposed = set(" ".join(instructions("EXPOSE")).split())
    assert exposed == {"8088", service("worker")["environment"]["TASKFLOW_METRICS_PORT"]}


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda it: it.name)
def test_scripts_stop_at_the_first_thing_that_goes_wrong(script: Path) -> None:
    """Each is for any POSIX shell, and may be run as it lies there."""
    text = script.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text
    assert script.stat().st_mode & 0o111
