"""Debouncing: of events that follow each other closely the last one goes, and none is lost."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.debounce import Burst, DebounceStart, Newest, Superseded

_START = datetime(2026, 11, 23, 2, tzinfo=UTC)
_DEBOUNCE = timedelta(seconds=5)
_BY_SECONDS = st.lists(st.integers(0, 120), min_size=1, max_size=40)


def _event(second: float, name: str = "") -> Newest:
    at = _START + timedelta(seconds=second)
    return Newest(run_id=name or f"run at {second}", at=at, debounce=_DEBOUNCE)


def _told(events: list[Newest]) -> list[Superseded]:
    """Who is told what, by a workflow that goes on as a new run after every event."""
    state = DebounceStart()
    for event in events:
        burst = Burst(DebounceStart.model_validate_json(state.model_dump_json()))
        burst.take(event)
        state = burst.state()
    return state.untold


def _go(seconds: list[int]) -> list[int]:
    """Those of the events at these seconds whose runs go."""
    superseded = {one.run_id for one in _told([_event(second) for second in seconds])}
    return [second for second in seconds if f"run at {second}" not in superseded]


@pytest.mark.parametrize(
    ("seconds", "going"),
    [
        ([0], [0]),
        ([0, 4], [4]),
        ([0, 5], [0, 5]),
        ([0, 4, 8, 12], [12]),
        ([0, 4, 20, 21, 22, 40], [4, 22, 40]),
        (list(range(0, 101, 4)), [48, 100]),
        ([*range(0, 49, 4), 49], [49]),
        (list(range(0, 161, 4)), [48, 100, 152, 160]),
    ],
)
def test_the_last_event_of_a_burst_goes(seconds: list[int], going: list[int]) -> None:
    """A burst ends by a gap as long as the debounce, or when it is ten times as long."""
    assert _go(seconds) == going


@given(_BY_SECONDS, st.randoms(use_true_random=False))
def test_no_event_is_lost_however_late_and_often_it_is_told(
    seconds: list[int], random: Random
) -> None:
    """Whoever is superseded is so by a newer one; the newest never is, nor anybody by himself."""
    events = [_event(second, f"{number:02}") for number, second in enumerate(seconds)]
    told = events + events[::2]
    random.shuffle(told)
    places = {event.run_id: event.place for event in events}
    superseded = _told(told)
    assert all(places[one.run_id] < places[one.by] for one in superseded)
    assert max(events, key=lambda event: event.place).run_id not in {o.run_id for o in superseded}


@given(_BY_SECONDS, st.data())
def test_told_twice_is_told_once(seconds: list[int], data: st.DataObject) -> None:
    """The run of an event that goes is not stopped because it is told of again."""
    events = [_event(second) for second in sorted(set(seconds))]
    again = list(events)
    for event in data.draw(st.lists(st.sampled_from(events), max_size=5)):
        place = data.draw(st.integers(again.index(event) + 1, len(again)))
        again.insert(place, event)
    once, twice = ({one.run_id for one in _told(told)} for told in (events, again))
    assert once == twice


def test_an_event_that_is_told_late_is_part_of_its_burst() -> None:
    """Its run waited for a worker, and the events after it were told before."""
    superseded = _told([_event(4), _event(8), _event(0), _event(20), _event(17)])
    assert [(one.run_id, one.by) for one in superseded] == [
        ("run at 4", "run at 8"),
        ("run at 0", "run at 8"),
        ("run at 17", "run at 20"),
    ]
    assert _told([_event(20), _event(4)]) == []
