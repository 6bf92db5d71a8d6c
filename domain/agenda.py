"""Which fires are due, task by task, at a cost that grows with the fires and not with the tasks."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import count

from domain.due import due_times
from domain.ids import schedule_id
from domain.jitter import jitter_seed
from domain.task import Task

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
    """One fire of one task: due at its trigger time `at`, its run named by its scheduled time."""

    at: datetime
    key: Key
    scheduled: datetime


class Agenda:
    """The next fire of every task in a heap; `take` moves the position on, never back.

    `namespace_id` is what jitter is made of; without one, tasks are due as if they had none.
    """

    def __init__(self, position: datetime, namespace_id: str | None = None) -> None:
        self.position = position
        self._namespace_id = namespace_id
        self._spans: dict[Key, Spans] = {}
        self._heap: list[tuple[datetime, int]] = []
        self._streams: dict[int, Iterator[Fire]] = {}
        self._next: dict[int, Fire] = {}
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
                self._streams[number] = fires_of(
                    key, spans, after=self.position, namespace_id=self._namespace_id
                )
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
            if number in self._streams:  # else its task has changed since
                found.append(self._next[number])
                self._push(number)
        self.position = max(self.position, until)
        return sorted(found)

    def _push(self, number: int) -> None:
        fire = next(self._streams[number], None)
        if fire is None:
            self._forget(number)
        else:
            self._next[number] = fire
            heapq.heappush(self._heap, (fire.at, number))

    def _drop(self, key: Key) -> None:
        if self._spans.pop(key, None) is not None:
            self._forget(self._current.pop(key))

    def _forget(self, number: int) -> None:
        self._streams.pop(number, None)
        self._next.pop(number, None)


def fires_of(
    key: Key, spans: Spans, *, after: datetime, namespace_id: str | None = None
) -> Iterator[Fire]:
    """The fires of one task whose trigger time is after an instant, as its spans have them.

    In order: jitter may move the last fire of a span past the first of the next.
    """
    seed = jitter_seed(namespace_id, schedule_id(*key)) if namespace_id else None
    streams = [
        _fires_of_span(key, span, after, seed)
        for span in spans
        if span.until is None or span.until + span.task.jitter > after
    ]
    return streams[0] if len(streams) == 1 else merge(*streams)


def _fires_of_span(key: Key, span: Span, after: datetime, seed: str | None) -> Iterator[Fire]:
    start = max(after - span.task.jitter, span.since)
    for due in due_times(span.task, after=start, until=span.until, seed=seed):
        if due.trigger_time > after:
            yield Fire(due.trigger_time, key, due.scheduled_time)
