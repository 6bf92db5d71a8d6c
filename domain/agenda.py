"""Which fires are due, task by task, at a cost that grows with the fires and not with the tasks."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from domain.task import Task
from domain.triggers import task_times

Key = tuple[str, str]
"""(tenant_id, task_id)."""


@dataclass(frozen=True, slots=True)
class Span:
    """A task was to fire after `since` and up to `until`, None: it still is."""

    since: datetime
    until: datetime | None
    task: Task


Spans = tuple[Span, ...]
"""The spans of one task, in order; they do not overlap."""


@dataclass(frozen=True, slots=True, order=True)
class Fire:
    """One nominal time of one task."""

    at: datetime
    key: Key


class Agenda:
    """The next fire of every task in a heap; `take` moves the position on, never back."""

    def __init__(self, position: datetime) -> None:
        self.position = position
        self._spans: dict[Key, Spans] = {}
        self._heap: list[tuple[datetime, int]] = []
        self._streams: dict[int, tuple[Key, Iterator[datetime]]] = {}
        self._current: dict[Key, int] = {}
        self._numbers = count()

    def sync(self, wanted: Mapping[Key, Spans]) -> None:
        """Have these tasks and no others; what has not changed goes on where it was."""
        for key in self._spans.keys() - wanted.keys():
            self._drop(key)
        for key, spans in wanted.items():
            if self._spans.get(key) != spans:
                self._drop(key)
                self._spans[key] = spans
                number = next(self._numbers)
                self._current[key] = number
                self._streams[number] = (key, fires_of(spans, after=self.position))
                self._push(number)

    def take(self, until: datetime, limit: int | None = None) -> list[Fire]:
        """The fires after the position and up to `until`, in order, each once.

        Past `limit` it stops after a whole instant; the position then says how far it came.
        """
        found: list[Fire] = []
        while self._heap and self._heap[0][0] <= until:
            at = self._heap[0][0]
            if limit is not None and len(found) >= limit and at > found[-1].at:
                self.position = found[-1].at
                return sorted(found)
            _, number = heapq.heappop(self._heap)
            if stream := self._streams.get(number):  # else its task has changed since
                found.append(Fire(at, stream[0]))
                self._push(number)
        self.position = max(self.position, until)
        return sorted(found)

    def _push(self, number: int) -> None:
        at = next(self._streams[number][1], None)
        if at is None:
            del self._streams[number]
        else:
            heapq.heappush(self._heap, (at, number))

    def _drop(self, key: Key) -> None:
        if self._spans.pop(key, None) is not None:
            self._streams.pop(self._current.pop(key), None)


def fires_of(spans: Spans, *, after: datetime) -> Iterator[datetime]:
    """The nominal times of one task after an instant, as its spans have them."""
    for span in spans:
        if span.until is None or span.until > after:
            yield from task_times(span.task, after=max(after, span.since), until=span.until)
