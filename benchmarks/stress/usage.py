"""Memory and processor time of each process: at moments, and the most of all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cpu import cpu_ms

_KILOBYTES = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.MULTILINE)


def memory_mb(pids: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Of each process what it has in memory now, and the most that it ever had.

    Empty where the system has no `/proc`.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, pid in pids.items():
        try:
            sizes = dict(_KILOBYTES.findall(Path(f"/proc/{pid}/status").read_text()))
        except OSError:
            continue
        found[name] = (int(sizes["VmRSS"]) / 1024, int(sizes["VmHWM"]) / 1024)
    return found


@dataclass(slots=True)
class Usage:
    """Looks at the same processes again and again."""

    pids: Mapping[str, int]
    moments: list[dict[str, Any]] = field(default_factory=list)

    def mark(self, moment: str) -> None:
        """Remember how it is now: megabytes in memory, processor seconds since the start."""
        self.moments.append(
            {
                "moment": moment,
                "memory_mb": {name: round(now) for name, (now, _) in memory_mb(self.pids).items()},
                "cpu_s": {name: ms / 1000 for name, ms in cpu_ms(self.pids).items()},
            }
        )

    def now(self) -> str:
        """For a line of progress."""
        found = memory_mb(self.pids)
        return ", ".join(f"{name} {now:.0f} MB" for name, (now, _) in found.items())

    def document(self) -> dict[str, Any]:
        """The most that each process had in memory, its processor seconds, and all moments."""
        peaks = {name: round(peak) for name, (_, peak) in memory_mb(self.pids).items()}
        used = {name: ms / 1000 for name, ms in cpu_ms(self.pids).items()}
        return {"peak_memory_mb": peaks, "cpu_s": used, "moments": self.moments}
