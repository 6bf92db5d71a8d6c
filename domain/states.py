"""The states of a run, who moves it on from each, and which moves exist."""

from dataclasses import dataclass
from enum import StrEnum


class RunState(StrEnum):
    """`TaskStatus` of a run; the last six are ends."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPENSATING = "COMPENSATING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    COMPENSATED = "COMPENSATED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class StateRule:
    """What a state means, who moves a run on from it, and where it may go."""

    meaning: str
    moved_by: str
    next: frozenset[RunState]


def _rule(meaning: str, moved_by: str, *following: RunState) -> StateRule:
    return StateRule(meaning, moved_by, frozenset(following))


_S = RunState

STATES: dict[RunState, StateRule] = {
    _S.PENDING: _rule(
        "created, and no worker has taken it up yet",
        "a worker",
        *(_S.QUEUED, _S.RUNNING, _S.SKIPPED, _S.FAILED, _S.CANCELLED, _S.MISSED),
    ),
    _S.QUEUED: _rule(
        "waits for quota, a mutex group or capacity",
        "the tenant's governor",
        *(_S.RUNNING, _S.COMPENSATING, _S.SKIPPED, _S.FAILED, _S.CANCELLED),
    ),
    _S.RUNNING: _rule(
        "its plugin is being called",
        "the plugin",
        *(_S.SUCCESS, _S.RETRYING, _S.COMPENSATING, _S.FAILED, _S.SKIPPED, _S.CANCELLED),
    ),
    _S.RETRYING: _rule(
        "an attempt failed and the next one has its time",
        "the retry timer",
        *(_S.QUEUED, _S.RUNNING, _S.COMPENSATING, _S.FAILED, _S.CANCELLED),
    ),
    _S.COMPENSATING: _rule(
        "gave up, and its compensation is being called",
        "the compensating plugin",
        *(_S.COMPENSATED, _S.FAILED, _S.CANCELLED),
    ),
    _S.SUCCESS: _rule("the plugin did its work", "nobody: an end"),
    _S.FAILED: _rule("out of attempts or not retryable", "nobody: an end"),
    _S.COMPENSATED: _rule("failed, and its effects were undone", "nobody: an end"),
    _S.SKIPPED: _rule("not run, by a rule that is named in its reason", "nobody: an end"),
    _S.CANCELLED: _rule("stopped by a person or a policy", "nobody: an end"),
    _S.MISSED: _rule("its time passed without a chance to run", "nobody: an end"),
}


def is_end(state: RunState) -> bool:
    """Whether a run in `state` has ended."""
    return not STATES[state].next


def check_move(before: RunState, after: RunState) -> RunState:
    """`after`, when the table has the move. Errors: `ValueError` when it has not."""
    if after not in STATES[before].next:
        raise ValueError(f"a run does not go from {before} to {after}")
    return after
