"""Processor time of the benchmark's processes: it tells who pays for a run.

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
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    used: Counter[str] = Counter()
    try:
        for name, pid in pids.items():
            # The second field is the program's name, in brackets, and may hold anything.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = int(fields[11]), int(fields[12])
            used[name] = round((user + system) * tick)
    except OSError:
        return Counter()
    used["client"] = round(time.process_time() * 1000)
    return used
