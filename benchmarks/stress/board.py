"""What is seen while it runs, read from the sandbox's log: nobody who works is asked for it."""

import json
from collections.abc import Mapping, Set
from pathlib import Path


class Board:
    """Executions that began and ended, by their keys."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._offset = 0
        self.called: set[str] = set()
        self.ended: set[str] = set()
        self.open = 0
        self.most_open = 0

    def read(self) -> None:
        """Take in what was written since."""
        with self._journal.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._offset += whole
        for line in text[:whole].splitlines():
            self._take(json.loads(line))

    def lacks(self, due: Set[str]) -> int:
        """How many of these have not ended."""
        self.read()
        return len(due - self.ended)

    def _take(self, line: Mapping[str, str]) -> None:
        if line["event"] == "start":
            self.called.add(line["key"])
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        elif line["event"] == "end":
            self.ended.add(line["key"])
            self.open -= 1
