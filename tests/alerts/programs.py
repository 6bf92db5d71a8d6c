"""Prometheus' own programs, from Debian's package."""

import subprocess
from pathlib import Path

from tests.debian import debian_program

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
