"""The secret that the processes of a stack share."""

import os
import stat
from pathlib import Path

import pytest

from shared.errors import TaskflowError
from shared.plugin_secrets import load_secrets
from starter.dev.options import DevOptions
from starter.dev.parts import child_environment, sandbox
from starter.dev.secret import plugin_secret


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The next start finds the same secret; nobody else may read it, nothing is left beside it."""
    state = tmp_path / "deep/state"
    before = os.umask(0)
    try:
        path = plugin_secret(state, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [secret] = load_secrets(path)
    assert plugin_secret(state, None) == path
    assert load_secrets(path) == (secret,)
    assert list(state.iterdir()) == [path]
    assert load_secrets(plugin_secret(tmp_path / "other", None)) != (secret,)


def test_one_that_is_configured_is_used(tmp_path: Path) -> None:
    """Then none is made in the state folder, which need not even be there."""
    mine = tmp_path / "mine"
    mine.write_text("whsec_" + "bWlu" * 8)
    assert plugin_secret(tmp_path / "state", mine) == mine
    assert not (tmp_path / "state").exists()


def test_a_file_that_holds_no_secret_is_said_so(tmp_path: Path) -> None:
    """The message names the file, what is wrong and what to do, and shows nothing of it."""
    broken = tmp_path / "plugin-secret"
    broken.write_text("half of a sec")
    with pytest.raises(TaskflowError, match=rf"{broken} must be whsec_.*Delete that file") as own:
        plugin_secret(tmp_path, None)
    with pytest.raises(TaskflowError, match=rf"{broken} must be .*unset TASKFLOW_PLUGIN_SECRET"):
        plugin_secret(tmp_path, broken)
    with pytest.raises(TaskflowError, match=r"none cannot be read: no such file"):
        plugin_secret(tmp_path, tmp_path / "none")
    assert "half" not in str(own.value)


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """As one message, before anything has been started."""
    (tmp_path / "file").touch()
    with pytest.raises(TaskflowError, match=r"plugin-secret cannot be written: Not a directory"):
        plugin_secret(tmp_path / "file" / "state", None)


def test_every_process_gets_it_and_plugins_where_to_report(tmp_path: Path) -> None:
    """Worker and API by the environment, the sandbox by its options; without an API none report."""
    secret = tmp_path / "plugin-secret"
    env = child_environment({}, own_address=None, sandbox_url="http://s", secret_file=secret)
    assert env["TASKFLOW_PLUGIN_SECRET_FILE"] == str(secret)
    log = tmp_path / "log"
    for given, api_url, options in [
        (secret, "http://a", ["--secret-file", str(secret), "--scheduler-url", "http://a"]),
        (secret, None, ["--secret-file", str(secret)]),
        (None, "http://a", []),
    ]:
        child = sandbox(port=1, log=log, config=None, secret_file=given, api_url=api_url, env=env)
        assert list(child.argv[child.argv.index(str(log)) + 1 :]) == options
    assert DevOptions().signed
