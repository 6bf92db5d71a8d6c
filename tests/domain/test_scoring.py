"""Scoring: what was foreseen against what came."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import scoring as module
from domain.scoring import MOST_WARNINGS, TOLERANCE, Foreseen, Real, Score, renewed, score

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
LATER = NOON + 10 * TOLERANCE


def foreseen(at: float = NOON, *tasks: str, resource: str = "warehouse", **more: bool) -> Foreseen:
    """That tasks, `a` and `b` unless said, collide over a mutex group of `acme`."""
    names = list(tasks) or ["a", "b"]
    return Foreseen(
        tenant_id="acme", kind="mutex", resource=resource, task_ids=names, at=at, **more
    )


def real(at: float = NOON, task: str = "a", *, by_hand: bool = False) -> Real:
    """That a run of a task was not admitted at once."""
    return Real("acme", "mutex", "warehouse", task, at, by_hand)


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        (real(), Score(hits=1)),
        (real(task="b"), Score(hits=1)),  # who waits may differ: both were named
        (real(NOON + TOLERANCE), Score(hits=1)),
        (real(NOON - TOLERANCE), Score(hits=1)),
        (real(NOON + TOLERANCE + 0.001), Score(misses=1, false_alarms=1)),
        (real(NOON - TOLERANCE - 0.001), Score(misses=1, false_alarms=1)),
        (real(task="c"), Score(misses=1, false_alarms=1)),
        (Real("other", "mutex", "warehouse", "a", NOON), Score(misses=1, false_alarms=1)),
        (Real("acme", "quota", "warehouse", "a", NOON), Score(misses=1, false_alarms=1)),
        (Real("acme", "mutex", "docks", "a", NOON), Score(misses=1, false_alarms=1)),
        (real(by_hand=True), Score(hits=1)),
        (real(task="c", by_hand=True), Score(by_hand=1, false_alarms=1)),
    ],
)
def test_a_conflict_is_a_hit_when_it_was_foreseen_there_and_then(
    conflict: Real, expected: Score
) -> None:
    """Same tenant, kind and resource, one of the named tasks, and within the tolerance."""
    assert score([conflict], [foreseen()], LATER).score == expected


def test_one_that_was_foreseen_explains_all_that_it_fits() -> None:
    """Two runs wait where one warning named both; a second warning of it came true as well."""
    found = score([real(), real(task="b")], [foreseen(), foreseen(NOON + 5)], LATER)
    assert found.score == Score(hits=2)
    assert found.left == []


def test_what_nobody_takes_note_of_is_no_false_alarm() -> None:
    """A blackout does not ask a governor, so that nobody could say that it came."""
    assert score([], [foreseen(noted=False)], LATER).score == Score()


def test_a_miss_is_told_in_a_sentence() -> None:
    """Who, when and about what; of very many, the first few."""
    found = score([real() for _ in range(3 * MOST_WARNINGS)], [], LATER)
    assert found.score.misses == 3 * MOST_WARNINGS
    assert len(found.missed) == MOST_WARNINGS
    assert found.missed[0] == "acme/a at 12:00:00 UTC: mutex warehouse was not foreseen"


@pytest.mark.parametrize(
    ("until", "left", "false_alarms"),
    [
        (NOON, 1, 0),
        (NOON + TOLERANCE - 0.001, 1, 0),
        (NOON + TOLERANCE, 0, 1),
    ],
)
def test_what_may_still_come_is_left_until_it_cannot(
    until: float, left: int, false_alarms: int
) -> None:
    """Judged a false alarm once every moment at which it could have come has been looked at."""
    found = score([], [foreseen()], until)
    assert (len(found.left), found.score.false_alarms) == (left, false_alarms)


def test_rates() -> None:
    """Shares of real conflicts and of alarms; none before there was one."""
    assert (Score().hit_rate, Score().precision) == (None, None)
    assert Score(by_hand=5).hit_rate is None
    whole = Score(hits=9, misses=1, by_hand=4).plus(Score(misses=2, false_alarms=3))
    assert whole == Score(hits=9, misses=3, by_hand=4, false_alarms=3)
    assert (whole.hit_rate, whole.precision) == (0.75, 0.75)


def test_a_forecast_replaces_what_the_one_before_said_of_the_time_ahead() -> None:
    """But for the moments just past, which it cannot foresee any more."""
    past, gone, again = foreseen(NOON - 5), foreseen(NOON + 5), foreseen(NOON + 9)
    kept = renewed([past, gone, again], [again, foreseen(NOON + 20)], NOON)
    assert kept == [past, again, foreseen(NOON + 20)]


def test_one_that_came_early_is_remembered_to_have_come() -> None:
    """Foreseen again it is the same one, and no false alarm later."""
    early = score([real(NOON - 30)], [foreseen()], NOON - 10)
    kept = renewed(early.left, [foreseen()], NOON - 10)
    assert score([], kept, LATER).score == Score()


def test_what_is_kept_is_bounded_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those furthest ahead go: they are foreseen again."""
    monkeypatch.setattr(module, "MOST_FORESEEN", 3)
    kept = renewed([foreseen(NOON - 1)], [foreseen(NOON + n) for n in (9, 3, 7, 1)], NOON)
    assert [one.at - NOON for one in kept] == [-1, 1, 3]


seconds = st.integers(0, 900).map(float)
names = st.sampled_from("abc")
foreseens = st.lists(
    st.builds(
        lambda at, tasks, place: foreseen(at, *tasks, resource=place),
        seconds,
        st.lists(names, min_size=1, max_size=3, unique=True),
        st.sampled_from(["warehouse", "docks"]),
    ),
    max_size=25,
    unique_by=lambda one: one.identity,
)
reals = st.lists(
    st.builds(
        lambda at, task, by_hand: real(at, task, by_hand=by_hand), seconds, names, st.booleans()
    ),
    max_size=25,
)


@given(foreseens, reals, st.lists(seconds, max_size=12))
def test_nothing_is_scored_twice_wherever_the_windows_are_cut(
    warned: list[Foreseen], came: list[Real], cuts: list[float]
) -> None:
    """Forecasts that say the same, however often they are made, score as one that says it all."""
    total, kept = Score(), renewed([], warned, -1.0)
    for since, until in pairwise([-1.0, *sorted(cuts), 2000.0]):
        window = [one for one in came if since < one.at <= until]
        found = score(window, kept, until)
        total = total.plus(found.score)
        assert all(one.at > until - TOLERANCE for one in found.left)
        kept = renewed(found.left, [one for one in warned if one.at > until], until)
        assert len({one.identity for one in kept}) == len(kept)

    def fits(conflict: Real, one: Foreseen) -> bool:
        place = one.resource == conflict.resource and conflict.task_id in one.task_ids
        return place and abs(one.at - conflict.at) <= TOLERANCE

    hits = [conflict for conflict in came if any(fits(conflict, one) for one in warned)]
    others = [conflict for conflict in came if conflict not in hits]
    assert total == Score(
        hits=len(hits),
        misses=sum(not conflict.by_hand for conflict in others),
        by_hand=sum(conflict.by_hand for conflict in others),
        false_alarms=sum(not any(fits(c, one) for c in came) for one in warned),
    )
    assert kept == []
