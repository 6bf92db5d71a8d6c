"""Processor time and memory of the benchmark's processes: they tell who pays for a run.

Other load on the machine changes how long a run takes, but hardly what it costs.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path


def cpu_ms(pids: Mapping[str, int]) -> Counter[str]:
    """Milliseconds that each named process and this one, as `client`, have used since their start.

    Empty where the system has no `/proc`.
    """
    used: Counter[str] = Counter()
    try:
        for name, pid in pids.items():
            used[name] = _ms(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return Counter()
    used["client"] = round(time.process_time() * 1000)
    return used


def python_ms(pid: int) -> int:
    """Milliseconds that the threads of a process have used which bear its own name.

    Those of Temporal's core have names of their own: what is left runs Python. 0 without `/proc`.
    """
    folder = Path(f"/proc/{pid}")
    try:
        name = (folder / "comm").read_text()
        stats = [
            (thread / "stat").read_text()
            for thread in (folder / "task").iterdir()
            if (thread / "comm").read_text() == name
        ]
    except OSError:
        return 0
    return sum(_ms(stat) for stat in stats)


def resident_kb(pids: Mapping[str, int]) -> dict[str, int]:
    """Memory that each named process has now; 0 without `/proc`."""
    return {name: _resident_kb(pid) for name, pid in pids.items()}


def _resident_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _ms(stat: str) -> int:
    """User and system time of a line of `/proc`."""
    # The second field is the program's name, in brackets, and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK"))
