"""The scripts of a deployment, run: secrets, schema, server, health."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from shared.codec_keys import load_keys
from shared.plugin_secrets import load_secrets
from tests.deploy.files import DEPLOY, compose, service

HEALTH = DEPLOY / "healthcheck.py"
MAKE_SECRETS = DEPLOY / "compose/make-secrets.sh"
SHELL = "/bin/sh"


def _run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def _program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!{SHELL}\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_secrets_that_are_mounted_are_made_once(tmp_path: Path) -> None:
    """Those that processes read are of the right form; a second time all stay as they are."""
    folder = tmp_path / "secrets"
    first = _run(SHELL, MAKE_SECRETS, folder)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    (folder / "plugin-secret").unlink()
    again = _run(SHELL, MAKE_SECRETS, folder)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert made.keys() == compose()["secrets"].keys()
    assert load_keys(folder / "codec-keys").encrypts
    assert load_secrets(folder / "plugin-secret")
    assert folder.stat().st_mode & 0o077 == 0
    after = {file.name: file.read_text() for file in folder.iterdir()}
    assert {name for name in made if after[name] != made[name]} == {"plugin-secret"}
    assert all(len(text.strip()) >= 32 for text in made.values())


def test_each_secret_of_the_compose_file_is_one_that_is_made() -> None:
    """By the name of its file."""
    for name, it in compose()["secrets"].items():
        assert it["file"] == f"./deploy/compose/secrets/{name}"


def test_the_schema_job_makes_both_databases_before_it_brings_them_up_to_date(
    tmp_path: Path,
) -> None:
    """Create, set up, update, for each; with the password from its file."""
    _program(tmp_path, "temporal-sql-tool", f'echo "$SQL_PASSWORD $*" >>{tmp_path}/said')
    (tmp_path / "password").write_text("s3cret\n")
    environment = service("schema")["environment"] | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "POSTGRES_PASSWORD_FILE": str(tmp_path / "password"),
    }

    ended = _run(SHELL, DEPLOY / "temporal/schema.sh", **environment)

    assert ended.returncode == 0, ended.stderr
    server = "s3cret --plugin postgres12 --ep postgres -p 5432 -u temporal"
    schema = "/etc/temporal/schema/postgresql/v12"
    assert (tmp_path / "said").read_text().splitlines() == [
        f"{server} --db temporal create",
        f"{server} --db temporal setup-schema -v 0.0",
        f"{server} --db temporal update-schema -d {schema}/temporal/versioned",
        f"{server} --db temporal_visibility create",
        f"{server} --db temporal_visibility setup-schema -v 0.0",
        f"{server} --db temporal_visibility update-schema -d {schema}/visibility/versioned",
    ]


def test_the_schema_job_ends_with_the_first_step_that_fails(tmp_path: Path) -> None:
    """Then the server does not start on a database that is half made."""
    _program(tmp_path, "temporal-sql-tool", f"echo . >>{tmp_path}/said; exit 7")
    (tmp_path / "password").write_text("x\n")
    environment = service("schema")["environment"] | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "POSTGRES_PASSWORD_FILE": str(tmp_path / "password"),
    }

    ended = _run(SHELL, DEPLOY / "temporal/schema.sh", **environment)

    assert ended.returncode == 7
    assert (tmp_path / "said").read_text() == ".\n"


def test_the_server_is_given_the_password_and_takes_the_place_of_the_script(
    tmp_path: Path,
) -> None:
    """So that it gets the engine's signals itself."""
    entrypoint = tmp_path / "entrypoint.sh"
    _program(tmp_path, entrypoint.name, 'echo "$POSTGRES_PWD $$"')
    (tmp_path / "password").write_text("s3cret\n")
    script = tmp_path / "server.sh"
    text = (DEPLOY / "temporal/server.sh").read_text()
    assert "/etc/temporal/entrypoint.sh" in text
    script.write_text(text.replace("/etc/temporal/entrypoint.sh", str(entrypoint)))

    with subprocess.Popen(
        [SHELL, script],
        env={"POSTGRES_PASSWORD_FILE": str(tmp_path / "password"), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=20)

    assert said == f"s3cret {process.pid}\n"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_is_what_the_url_answers(httpserver: HTTPServer, status: int, code: int) -> None:
    """Well with 200; otherwise it says what came instead."""
    httpserver.expect_request("/readyz").respond_with_data("not yet", status=status)

    ended = _run(sys.executable, HEALTH, httpserver.url_for("/readyz"))

    assert ended.returncode == code
    assert ("answers 503: not yet" in ended.stderr) is (code == 1)


def test_a_worker_is_well_once_it_said_so(tmp_path: Path) -> None:
    """By its file, whether it is asked for a worker or for whatever the container has."""
    file = tmp_path / "ready"
    before = _run(sys.executable, HEALTH, "worker", TASKFLOW_READY_FILE=str(file))
    file.touch()
    after = [
        _run(sys.executable, HEALTH, *a, TASKFLOW_READY_FILE=str(file)) for a in ((), ("worker",))
    ]

    assert (before.returncode, *(ended.returncode for ended in after)) == (1, 0, 0)
    assert str(file) in before.stderr
