"""Programs that tests run and Debian packages: found, or installed where that may be done."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

_SECONDS = 300


@cache
def debian_program(program: str, package: str | None = None) -> str:
    """Where a program is; a machine that has none, and may not install it, skips the tests.

    In CI nothing is skipped: there the lack of it is a failure.
    """
    package = package or program
    if found := _found(program):
        return found
    reason = _install(program, package)
    if found := _found(program):
        return found
    reason = f"no {program}: {reason}. Install Debian's package {package} to run these tests"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")


def _install(program: str, package: str) -> str:
    """Try it, one test process at a time; why there is none if there is none."""
    if os.geteuid() != 0:
        return "only root may install it"
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    with (Path(tempfile.gettempdir()) / "taskflow-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _found(program):
            return ""
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (install, ["apt-get", "update"], install):
            try:
                ended = subprocess.run(
                    command, env=environment, capture_output=True, timeout=_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return f"{' '.join(command)} took more than {_SECONDS} s"
            if _found(program):
                return ""
        return f"apt-get does not install it ({ended.stderr.decode().strip()[-200:]})"
