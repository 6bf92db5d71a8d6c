"""Where the server of these tests comes from; a machine without one says so."""

import os
import shutil

import pytest

from tests.debian import debian_program


def test_a_machine_without_the_server_skips_and_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CI does not run, nobody has tested."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    find = debian_program.__wrapped__
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no nats-server: only root may install it"):
        find("nats-server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Install Debian's package nats-server"):
        find("nats-server")
