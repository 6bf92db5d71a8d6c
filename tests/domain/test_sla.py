"""An SLA's clock: what is due when, and what holds however a run goes and whoever looks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.notices import BreachKind
from domain.sla import BREACHES, Due, SlaClock, SlaStatus
from domain.states import RunState
from domain.task import Sla

SINCE = datetime(2026, 11, 23, 2, tzinfo=UTC)
_M = timedelta(minutes=1)
START, WARNING, FINISH = BreachKind.START, BreachKind.WARNING, BreachKind.FINISH


def _clock(**fields: Any) -> SlaClock:
    said = {
        "start_within": "1m",
        "finish_within": "30m",
        "warn_at": 0.8,
        "on_breach": "notify",
        "severity": "high",
    }
    return SlaClock(Sla.model_validate(said | fields), SINCE)


def _at(minutes: float) -> datetime:
    return SINCE + minutes * _M


def _kinds(found: list[Due]) -> list[BreachKind]:
    return [due.kind for due in found]


def test_the_deadlines_count_from_the_trigger_time() -> None:
    """Start, warning and finish: whatever gets round to the run later."""
    clock = _clock()
    assert (clock.start_by, clock.warn_at, clock.finish_by) == (_at(1), _at(24), _at(30))
    assert clock.next_at() == _at(1)


@pytest.mark.parametrize(
    ("started", "looks", "kinds", "after"),
    [
        (None, 0.5, [], 1),
        (None, 1, [START], 24),
        (None, 24, [START, WARNING], 30),
        (None, 30, [START, FINISH], None),
        (0.5, 23, [], 24),
        (0.5, 24, [WARNING], 30),
        (0.5, 30, [FINISH], None),
        (0.5, 500, [FINISH], None),
    ],
)
def test_what_is_due_is_what_has_come_to_pass(
    started: float | None, looks: float, kinds: list[BreachKind], after: float | None
) -> None:
    """One look says it all; a warning whose breach is due too is left out."""
    clock = _clock()
    clock.started = None if started is None else _at(started)
    assert _kinds(clock.due(_at(looks))) == kinds
    assert clock.due(_at(looks)) == []
    assert clock.next_at() == (None if after is None else _at(after))


@pytest.mark.parametrize(
    ("started", "expected", "at", "kinds"),
    [
        (None, 10, 20, [START, WARNING]),
        (None, 10, 19, [START]),
        (None, 40, 0.5, [WARNING]),
        (0.5, 29, 1, []),
        (0.5, 30, 0.5, [WARNING]),
        (0.5, 10, 20, []),
    ],
)
def test_what_will_not_finish_in_time_is_warned_of_early(
    started: float | None, expected: float, at: float, kinds: list[BreachKind]
) -> None:
    """Also before 80% of the time is over, and never for a run that can still make it."""
    clock = _clock()
    clock.started = None if started is None else _at(started)
    clock.expected = expected * _M
    assert _kinds(found := clock.due(_at(at))) == kinds
    if WARNING in kinds:
        assert "it usually takes up to" in found[-1].message


@pytest.mark.parametrize(
    ("state", "started", "ended", "kinds", "status"),
    [
        (RunState.SUCCESS, 0.5, 20, [], SlaStatus.MET),
        (RunState.SUCCESS, 0.5, 25, [WARNING], SlaStatus.WARNED),
        (RunState.SUCCESS, 0.5, 31, [WARNING, FINISH], SlaStatus.FINISH_BREACHED),
        (RunState.SUCCESS, 2, 20, [START], SlaStatus.START_BREACHED),
        (RunState.SUCCESS, 2, 31, [START, WARNING, FINISH], SlaStatus.BREACHED),
        (RunState.FAILED, 0.5, 3, [FINISH], SlaStatus.FINISH_BREACHED),
        (RunState.COMPENSATED, 0.5, 3, [FINISH], SlaStatus.FINISH_BREACHED),
        (RunState.FAILED, 2, 3, [START, FINISH], SlaStatus.BREACHED),
        (RunState.FAILED, None, 0.5, [FINISH], SlaStatus.FINISH_BREACHED),
        (RunState.MISSED, None, 0, [START], SlaStatus.START_BREACHED),
        (RunState.SKIPPED, None, 0.5, [], None),
        (RunState.SKIPPED, None, 10, [START], SlaStatus.START_BREACHED),
        (RunState.CANCELLED, 0.5, 25, [WARNING], None),
        (RunState.CANCELLED, 0.5, 31, [WARNING, FINISH], SlaStatus.FINISH_BREACHED),
    ],
)
def test_an_end_shows_the_worst_that_is_so(
    state: RunState,
    started: float | None,
    ended: float,
    kinds: list[BreachKind],
    status: SlaStatus | None,
) -> None:
    """A run that is looked after, minute by minute, and what it shows when it has ended so."""
    clock = _clock()
    found: list[BreachKind] = []
    for quarter in range(int(ended * 4) + 1):
        if started is not None and quarter == started * 4:
            clock.started = _at(started)
        found += _kinds(clock.due(_at(quarter / 4)))
    found += _kinds(clock.end(_at(ended), state))
    assert (found, clock.status(ended=state)) == (kinds, status)


def test_an_open_run_shows_nothing_but_breaches_and_warnings() -> None:
    """It has met nothing yet."""
    clock = _clock()
    assert clock.status() is None
    clock.started = _at(0.5)
    clock.due(_at(25))
    assert clock.status() is SlaStatus.WARNED
    clock.due(_at(31))
    assert clock.status() is SlaStatus.FINISH_BREACHED


@pytest.mark.parametrize(("rule", "finish_by"), [("stops", 40), ("runs", 30)])
def test_a_held_run_has_its_time_later_if_its_task_says_so(rule: str, finish_by: float) -> None:
    """The clock stands while the run is held, or it runs on."""
    clock = _clock(while_paused=rule)
    clock.started = _at(0.5)
    clock.stop(_at(5))
    clock.stop(_at(6))
    assert clock.next_at() == (None if rule == "stops" else _at(24))
    clock.go_on(_at(15))
    clock.go_on(_at(16))
    assert clock.finish_by == _at(finish_by)
    assert _kinds(clock.due(_at(31))) == ([FINISH] if rule == "runs" else [])


def test_a_run_that_ends_while_it_is_held_is_judged_by_what_it_had() -> None:
    """Its clock has stood, and nothing has come to pass meanwhile."""
    clock = _clock(while_paused="stops")
    clock.started = _at(0.5)
    clock.stop(_at(5))
    assert clock.end(_at(500), RunState.SUCCESS) == []
    assert clock.status(ended=RunState.SUCCESS) is SlaStatus.MET


def test_the_breaches_that_count_in_a_row_are_all_but_met_and_warned() -> None:
    """A warning is not a breach."""
    assert set(SlaStatus) - BREACHES == {SlaStatus.MET, SlaStatus.WARNED}


@dataclass
class Story:
    """A run on the clock, as whoever looks after it plays it: seconds, and what happens then."""

    clock: SlaClock
    now: datetime = SINCE
    found: list[Due] = field(default_factory=list)
    stood: timedelta = timedelta(0)
    began: timedelta | None = None
    """When it started, on the run's own clock."""

    def own(self) -> timedelta:
        """What the run's clock reads: time in which it stood does not count."""
        held = self.now - self.clock.stopped_at if self.clock.stopped_at else timedelta(0)
        return self.now - SINCE - self.stood - held

    def look(self) -> None:
        """Whoever looks raises what is due."""
        self.found += self.clock.due(self.now)

    def do(self, what: str) -> None:
        """One thing that happens to a run."""
        if what == "start" and self.began is None and self.clock.stopped_at is None:
            if self.now > self.clock.start_by:
                self.look()
            self.clock.started, self.began = self.now, self.own()
        elif what == "stop":
            self.clock.stop(self.now)
        elif what == "go on":
            if self.clock.stopped_at:
                self.stood += self.now - self.clock.stopped_at
            self.clock.go_on(self.now)
        elif what == "look":
            self.look()


Steps = list[tuple[int, str]]
steps: st.SearchStrategy[Steps] = st.lists(
    st.tuples(st.integers(1, 900), st.sampled_from(["start", "stop", "go on", "look"])),
    max_size=14,
)
clocks = st.builds(
    _clock,
    while_paused=st.sampled_from(["stops", "runs"]),
    warn_at=st.sampled_from([0.1, 0.5, 0.8]),
    start_within=st.sampled_from(["61500ms", "600500ms"]),
    finish_within=st.sampled_from(["300500ms", "1800500ms"]),
)
expectations = st.none() | st.integers(1, 3000).map(lambda s: timedelta(seconds=s))
JUDGED = (RunState.SUCCESS, RunState.FAILED, RunState.COMPENSATED)
endings = st.sampled_from([*JUDGED, RunState.CANCELLED, RunState.SKIPPED])


def _play(clock: SlaClock, expected: timedelta | None, story: Steps, *, often: bool) -> Story:
    clock.expected = expected
    told = Story(clock)
    for wait, what in story:
        end = told.now + timedelta(seconds=wait)
        while often and (at := clock.next_at()) is not None and at <= end:
            told.now = max(at, told.now)
            told.look()
        told.now = end
        told.do(what)
    return told


@given(clock=clocks, expected=expectations, story=steps, ending=endings, often=st.booleans())
def test_each_kind_is_due_at_most_once_and_no_warning_follows_its_breach(
    clock: SlaClock, expected: timedelta | None, story: Steps, ending: RunState, *, often: bool
) -> None:
    """However often somebody looks, and whatever becomes of the run."""
    told = _play(clock, expected, story, often=often)
    told.found += clock.end(told.now, ending)
    told.look()
    kinds = _kinds(told.found)
    assert len(kinds) == len(set(kinds))
    if WARNING in kinds and FINISH in kinds:
        assert kinds.index(WARNING) < kinds.index(FINISH)


@given(clock=clocks, expected=expectations, story=steps, ending=endings, often=st.booleans())
def test_a_timely_start_is_no_breach_and_a_late_one_is(
    clock: SlaClock, expected: timedelta | None, story: Steps, ending: RunState, *, often: bool
) -> None:
    """By the run's own clock, which may have stood."""
    told = _play(clock, expected, story, often=often)
    told.found += clock.end(told.now, ending)
    began = told.began
    if began is not None:
        assert (START in _kinds(told.found)) is (began > clock.sla.start_within)


@given(clock=clocks, expected=expectations, story=steps, ending=endings, often=st.booleans())
def test_a_finish_is_broken_exactly_when_its_time_passed_or_the_run_failed(
    clock: SlaClock, expected: timedelta | None, story: Steps, ending: RunState, *, often: bool
) -> None:
    """What was stopped by a rule or a person is judged by what was seen before."""
    told = _play(clock, expected, story, often=often)
    seen, passed = FINISH in _kinds(told.found), told.own() >= clock.sla.finish_within
    assert not seen or passed
    told.found += clock.end(told.now, ending)
    broken = FINISH in _kinds(told.found)
    if ending in (RunState.CANCELLED, RunState.SKIPPED):
        assert broken is seen
    else:
        assert broken is (passed or ending is not RunState.SUCCESS)


@given(clock=clocks, expected=expectations, story=steps, often=st.booleans())
def test_there_is_a_next_look_while_something_may_come(
    clock: SlaClock, expected: timedelta | None, story: Steps, *, often: bool
) -> None:
    """Unless the clock stands; and a look at that time finds something, so nobody looks in vain."""
    told = _play(clock, expected, story, often=often)
    if clock.stopped_at is not None:
        assert clock.next_at() is None
        assert clock.due(told.now + timedelta(days=9)) == []
        clock.go_on(told.now)
    while (at := clock.next_at()) is not None:
        assert clock.due(max(at, told.now)), "a watcher would turn in a circle"
    assert clock.due(told.now + timedelta(days=9)) == []


@given(clocks, expectations, steps, st.sampled_from(JUDGED))
def test_who_looks_late_finds_the_breaches_of_who_looks_often(
    clock: SlaClock, expected: timedelta | None, story: Steps, ending: RunState
) -> None:
    """A worker that was away does not change what is told; only a warning may be too late."""
    sets = []
    for often in (True, False):
        told = _play(SlaClock(clock.sla, clock.since), expected, story, often=often)
        told.look()
        told.found += told.clock.end(told.now, ending)
        sets.append({kind for kind in _kinds(told.found) if kind is not WARNING})
    assert sets[0] == sets[1]
