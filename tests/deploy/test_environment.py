"""`.env.example` and the settings say the same, and no file sets a variable that nobody reads."""

import re
from pathlib import Path

from shared.settings import ROOT, Settings
from tests.deploy.files import (
    EXAMPLE,
    OURS,
    SECRETS,
    compose,
    instructions,
    manifest,
    manifests,
    service,
    variables,
)

APP = Path("/app")
FOREIGN = ("TEMPORAL_", "OTEL_")
"""Variables that libraries read themselves."""


def _example() -> dict[str, str]:
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    return dict(lines)


def test_the_example_has_every_variable_with_its_default() -> None:
    """Whoever adds a setting adds its line here; the message is that line."""
    example = _example()
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = APP / default.relative_to(ROOT)
        shown = "" if default is None else str(default)
        shown = shown.lower() if isinstance(default, bool) else shown
        variable = f"TASKFLOW_{name.upper()}"
        if variable == "TASKFLOW_PLUGIN_URL":  # the one line that is no comment: it has to be said
            assert example[variable] == "http://sandbox:8089"
        else:
            assert example.get(variable) == shown, f"#{variable}={shown} # {field.description}"


def test_the_example_names_no_variable_that_nobody_reads() -> None:
    """A misspelt variable would be left out silently by every process."""
    for variable in _example():
        assert variable in variables() or variable.startswith(FOREIGN), variable


def test_the_example_as_it_stands_is_accepted() -> None:
    """Copied to .env and not changed, it gives settings."""
    said = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    assert set(said) == {"TASKFLOW_PLUGIN_URL"}
    settings = Settings(**{name.removeprefix("TASKFLOW_").lower(): v for name, v in said.items()})
    assert settings.plugin_url == f"http://sandbox:{_sandbox_port()}"


def test_what_the_compose_file_asks_of_the_person_is_in_the_example() -> None:
    """Each `${VARIABLE}` of it."""
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    assert asked
    assert asked <= _example().keys()


def test_each_variable_that_is_set_is_one_that_is_read() -> None:
    """In the compose file, the manifests and the image."""
    said = {name for ours in OURS for name in service(ours).get("environment", {})}
    said |= set(manifest("ConfigMap", "taskflow-settings")["data"])
    for deployment in manifests("Deployment"):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        said |= {variable["name"] for variable in container.get("env", ())}
    said |= set(re.findall(r"(TASKFLOW_\w+)=", " ".join(instructions("ENV"))))
    assert "TASKFLOW_READY_FILE" in said
    for variable in said:
        assert variable in variables() or variable.startswith(FOREIGN), variable


def test_no_secret_stands_in_a_file() -> None:
    """Passwords and keys are named by the path of a file that is mounted, and git leaves them."""
    for name, it in compose()["services"].items():
        for variable, value in it.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|KEYS|PWD", variable):
                assert str(value).startswith(SECRETS), f"{name}: {variable}"
    assert manifests("Secret") == []
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/compose/secrets/"} <= set(ignored)
    for secret in compose()["secrets"].values():
        assert secret["file"].startswith("./deploy/compose/secrets/")


def _sandbox_port() -> str:
    [port] = [o for o in service("sandbox")["command"] if o.startswith("--port=")]
    return str(port).removeprefix("--port=")
