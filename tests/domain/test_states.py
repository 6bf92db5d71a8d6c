"""The transition table of runs: closed, reachable and final where it says so."""

from itertools import product

import pytest

from domain.states import STATES, RunState, check_move, is_end

_ENDS = {
    RunState.SUCCESS,
    RunState.FAILED,
    RunState.COMPENSATED,
    RunState.SKIPPED,
    RunState.CANCELLED,
    RunState.MISSED,
}


def _reachable(start: RunState) -> set[RunState]:
    seen: set[RunState] = set()
    ahead = {start}
    while ahead:
        seen |= ahead
        ahead = {after for state in ahead for after in STATES[state].next} - seen
    return seen


def test_every_state_has_a_rule_that_says_what_it_means() -> None:
    """No state is without a meaning, or without somebody who moves it on."""
    assert STATES.keys() == set(RunState)
    assert all(rule.meaning and rule.moved_by for rule in STATES.values())
    assert len({rule.meaning for rule in STATES.values()}) == len(STATES)


def test_every_state_is_reached_from_the_first() -> None:
    """A run begins PENDING, and no state is out of its reach."""
    assert _reachable(RunState.PENDING) == set(RunState)


def test_the_ends_are_final_and_only_they() -> None:
    """An end leads nowhere and is moved by nobody; everything else leads on."""
    assert {state for state in RunState if is_end(state)} == _ENDS
    assert {s for s in RunState if STATES[s].moved_by.startswith("nobody")} == _ENDS


@pytest.mark.parametrize("state", sorted(set(RunState) - _ENDS))
def test_every_open_state_can_end(state: RunState) -> None:
    """From wherever a run is, it can fail, and it can be cancelled."""
    assert _reachable(state) & _ENDS
    assert {RunState.FAILED, RunState.CANCELLED} <= STATES[state].next


@pytest.mark.parametrize(("before", "after"), list(product(RunState, RunState)))
def test_moves_are_those_of_the_table(before: RunState, after: RunState) -> None:
    """A move of the table gives the new state, any other an error that names both."""
    if after in STATES[before].next:
        assert check_move(before, after) is after
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            check_move(before, after)


def test_no_state_follows_itself() -> None:
    """A move changes the state: a repeated one would hide a lost update."""
    assert not [state for state in RunState if state in STATES[state].next]
