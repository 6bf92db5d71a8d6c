"""Which events of a rule a newer one stands for: pure, by when the events were received.

An event that comes within the debounce after another one takes its place. Events that follow each
other so are a *burst*, of which only the last goes; when a burst has gone on for `LONGEST_BURST`
times the debounce, the newest event goes and another burst begins.

What a run tells may come twice, and late. The answer is nearly always that of the right order:
when it is not, a run goes that might have been spared, and none is lost.
"""

from collections.abc import Iterator
from datetime import datetime

from pydantic import Field

from domain.duration import Duration
from domain.payload import Payload

TELL = "tell"
"""The signal of a `Debounce` workflow; pinned."""
LONGEST_BURST = 10


class DebounceInput(Payload):
    """The argument of `debounce_event`: the run of an event, and how long it waits for a newer one.

    `debounce_id`: the workflow that knows the newest event of its rule.
    """

    debounce_id: str
    run_id: str
    at: datetime
    debounce: Duration


class Newest(Payload):
    """The argument of the signal `tell`: the run of an event and when that was received."""

    run_id: str
    at: datetime
    debounce: Duration

    @property
    def place(self) -> tuple[datetime, str]:
        """The order of events; those of one instant need one too."""
        return self.at, self.run_id


class Superseded(Payload):
    """A run whose event is old, and the run of the newer event that takes its place."""

    run_id: str
    by: str


class DebounceStart(Payload):
    """The argument of `Debounce`: what the run before it knew.

    `since`: when the burst began that `newest` is the last of. `passed`: the last event of the
    burst before, when that had gone on for too long. `untold`: runs that are still to be told.
    """

    newest: Newest | None = None
    since: datetime | None = None
    passed: str | None = None
    untold: list[Superseded] = Field(default_factory=list)


class TellSuperseded(Payload):
    """The argument of `tell_superseded`: which runs newer ones take the place of."""

    runs: list[Superseded]


class Burst:
    """The events of one rule, as far as they matter to the next."""

    def __init__(self, start: DebounceStart) -> None:
        self._newest = start.newest
        self._since = start.since
        self._passed = start.passed
        self.untold = list(start.untold)

    def state(self) -> DebounceStart:
        """Everything, for the next run of the workflow."""
        return DebounceStart(
            newest=self._newest, since=self._since, passed=self._passed, untold=self.untold
        )

    def take(self, event: Newest) -> None:
        """One more event; what comes of it is added to `untold`."""
        self.untold += self._meet(event)

    def _meet(self, event: Newest) -> Iterator[Superseded]:
        newest, since = self._newest, self._since
        if newest is None or since is None:
            self._newest, self._since = event, event.at
        elif event.run_id in (newest.run_id, self._passed):
            return  # told twice
        elif event.place < newest.place:  # told late
            if event.at + event.debounce > since:
                self._since = min(since, event.at)
                yield Superseded(run_id=event.run_id, by=newest.run_id)
        elif event.at >= newest.at + newest.debounce:
            self._begin(event, passed=None)
        elif event.at >= since + LONGEST_BURST * event.debounce:
            self._begin(event, passed=newest.run_id)
        else:
            self._newest = event
            yield Superseded(run_id=newest.run_id, by=event.run_id)

    def _begin(self, event: Newest, passed: str | None) -> None:
        self._newest, self._since, self._passed = event, event.at, passed
