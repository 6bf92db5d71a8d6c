"""The rules of a tenant's ledger, each by an example, with what a waiting run is told."""

from typing import Any

import pytest

from domain.admission import PATIENCE, Ledger
from domain.decisions import (
    AGEING,
    Decision,
    Granted,
    Holder,
    Queued,
    Refused,
    Request,
)
from domain.limits import Demand, OnConflict, TenantLimits
from domain.task import Overlap

_ONE_AT_A_TIME = TenantLimits(max_concurrent=1)
_GPUS = TenantLimits(resources={"gpu": 4})


def _run(
    run_id: str,
    at: float = 0.0,
    *,
    task: str | None = None,
    gpu: int = 0,
    mutex: tuple[str, ...] = (),
    overlap: Overlap = Overlap.ALLOW,
    priority: int = 3,
    on_conflict: OnConflict = "queue",
    patience: float = 600.0,
) -> Request:
    units = [("concurrent", 1)]
    units += [("resource:gpu", gpu)] if gpu else []
    units += [(f"mutex:{group}", 1) for group in mutex]
    task = task or run_id
    if overlap in (Overlap.QUEUE, Overlap.CANCEL_RUNNING):
        units.append((f"overlap:{task}", 1))
    demand = Demand(task, tuple(units), overlap, priority, on_conflict)
    return Request(run_id, demand, at, at + patience)


def _ledger(limits: TenantLimits, *runs: Request) -> Ledger:
    """A ledger that these runs asked one after the other, each at its own time."""
    ledger = Ledger(limits)
    for run in runs:
        ledger.decide(run, run.asked_at)
    return ledger


def _sentences(decision: Decision | None) -> list[str]:
    assert isinstance(decision, Queued), decision
    return [blocker.sentence() for blocker in decision.blockers]


@pytest.mark.parametrize(
    ("limits", "first", "second", "sentence"),
    [
        (
            _ONE_AT_A_TIME,
            {},
            {},
            "the tenant's max_concurrent (limit 1, 1 in use) is held by a",
        ),
        (
            _GPUS,
            {"gpu": 3},
            {"gpu": 2},
            "resource gpu (limit 4, 3 in use) is held by a",
        ),
        (
            TenantLimits(),
            {"mutex": ("warehouse",)},
            {"mutex": ("warehouse",)},
            "mutex group warehouse (limit 1, 1 in use) is held by a",
        ),
        (
            TenantLimits(),
            {"task": "load", "overlap": Overlap.QUEUE},
            {"task": "load", "overlap": Overlap.QUEUE},
            "an earlier run of the task has not ended: a",
        ),
    ],
)
def test_a_run_waits_for_what_another_holds(
    limits: TenantLimits, first: dict[str, Any], second: dict[str, Any], sentence: str
) -> None:
    """Quota, resource, mutex group and overlap rule: the second waits, is told why, and goes."""
    ledger = _ledger(limits, _run("a", **first))
    told = ledger.decide(_run("b", 1, **second), 1)
    assert _sentences(told) == [sentence]
    assert ledger.release("a", 2)
    assert ledger.take_wake() == ["b"]
    assert ledger.decide(_run("b", 1, **second), 3) == Granted(2)


def test_a_mutex_group_may_have_more_places() -> None:
    """A group that the tenant gives two places has two holders, and the third run waits."""
    ledger = Ledger(TenantLimits(mutex_groups={"db": 2}))
    told = ledger.decide_all([_run(name, mutex=("db",)) for name in "abc"], 0)
    assert [type(one) for one in told] == [Granted, Granted, Queued]
    assert _sentences(told[2]) == ["mutex group db (limit 2, 2 in use) is held by a, b"]


@pytest.mark.parametrize(("at", "passes"), [(2, True), (PATIENCE, True), (PATIENCE + 1, False)])
def test_a_run_gets_all_or_nothing(at: float, *, passes: bool) -> None:
    """A run that lacks one of two groups leaves the other free for others; once it has waited for
    long, it keeps its place in both.
    """
    ledger = _ledger(TenantLimits(), _run("a", mutex=("x",)), _run("b", 1, mutex=("x", "y")))
    assert ledger.used.get("mutex:y", 0) == 0
    told = ledger.decide(_run("c", at, mutex=("y",)), at)
    assert isinstance(told, Granted) is passes
    assert passes or _sentences(told) == [
        "mutex group y (limit 1, 0 in use) is kept for b, which asked before"
    ]


def test_asking_again_answers_the_same() -> None:
    """A holder keeps its fence; who waits keeps its place."""
    ledger = _ledger(_ONE_AT_A_TIME, _run("a"), _run("b", 1), _run("c", 2))
    assert ledger.decide(_run("a"), 9) == Granted(1)
    assert ledger.decide(_run("c", 2), 9) == ledger.explain("c")
    asked = ledger.decide_all([_run("c", 2), _run("a"), _run("c", 2)], 9)
    assert [told.position for told in asked if isinstance(told, Queued)] == [2, 2]
    assert (ledger.counters.attempts, ledger.counters.granted) == (3, 1)


@pytest.mark.parametrize(("later_by", "first"), [(AGEING - 1, "urgent"), (AGEING + 1, "plain")])
def test_a_priority_level_is_worth_a_minute(later_by: float, first: str) -> None:
    """Who waited a minute longer goes before a run one level above; a minute less, behind it."""
    ledger = _ledger(
        _ONE_AT_A_TIME, _run("a"), _run("plain", 1), _run("urgent", 1 + later_by, priority=2)
    )
    ledger.release("a", 100)
    assert ledger.take_wake() == [first]


def test_small_ones_do_not_pass_a_large_one() -> None:
    """What is free is kept for the first in the order, and the sentence names it, not a holder."""
    ledger = _ledger(_GPUS, _run("a", gpu=1), _run("large", 1, gpu=4))
    assert _sentences(ledger.decide(_run("small", 2, gpu=1), 2)) == [
        "resource gpu (limit 4, 1 in use) is kept for large, which asked before"
    ]
    ledger.release("a", 3)
    assert ledger.take_wake() == ["large"]


def test_who_waits_for_the_same_as_another_reserves_nothing() -> None:
    """Behind one that waits for the group, a second one does not keep the resource from others."""
    ledger = _ledger(
        _GPUS,
        _run("a", mutex=("x",)),
        _run("b", 1, mutex=("x",)),
        _run("c", 2, mutex=("x",), gpu=4),
    )
    assert isinstance(ledger.decide(_run("d", 3, gpu=4), 3), Granted)


def test_who_reserves_nothing_keeps_nobody_from_reserving() -> None:
    """A large request keeps its place although one before it, which waits for something else
    first, wants the same: small ones do not pass it meanwhile.
    """
    ledger = _ledger(
        _GPUS,
        _run("a", mutex=("x",)),
        _run("b", 1, mutex=("x",)),
        _run("c", 2, gpu=1),
        _run("d", 3, mutex=("x",), gpu=4),
        _run("large", 4, gpu=4),
    )
    assert isinstance(ledger.decide(_run("small", 5, gpu=1), 5), Queued)


def test_the_wait_ends_at_the_deadline() -> None:
    """Past its deadline a run is refused, wherever in the queue it is, and woken to hear of it."""
    ledger = _ledger(_ONE_AT_A_TIME, _run("a"), _run("b", 1), _run("c", 2, patience=10))
    ledger.settle(11.9)
    assert ledger.take_wake() == []
    ledger.settle(12)
    assert ledger.take_wake() == ["c"]
    assert list(ledger.waiting) == ["b"]
    late = Refused("queue_timeout", "it waited until its queue_timeout")
    assert ledger.decide(_run("c", 2, patience=10), 13) == late
    assert (ledger.counters.attempts, ledger.counters.timed_out) == (3, 1)


def test_who_is_too_late_lets_the_next_go() -> None:
    """What a late run had reserved is free at once."""
    ledger = _ledger(
        _GPUS, _run("a", gpu=1), _run("large", 1, gpu=4, patience=5), _run("small", 2, gpu=1)
    )
    ledger.settle(6)
    assert ledger.take_wake() == ["large", "small"]
    assert "small" in ledger.holders


def test_a_later_deadline_does_not_undo_an_earlier_one() -> None:
    """Whoever asks again with more patience is held to what it said first."""
    ledger = _ledger(_ONE_AT_A_TIME, _run("a"), _run("b", 1, patience=5))
    told = ledger.decide(_run("b", 1, patience=500), 10)
    assert isinstance(told, Refused)
    assert told.code == "queue_timeout"


def test_a_request_that_comes_too_late_does_not_enter() -> None:
    """A first request past its own deadline is refused and leaves nothing behind."""
    ledger = Ledger(TenantLimits())
    told = ledger.decide(_run("a", 0, patience=5), 5)
    assert isinstance(told, Refused)
    assert told.code == "queue_timeout"
    assert ledger.explain("a") is None


def test_skip_refuses_while_another_run_is_under_way() -> None:
    """The refusal names the first of them."""
    ledger = _ledger(TenantLimits(), _run("a", task="load", overlap=Overlap.SKIP))
    told = ledger.decide(_run("b", 1, task="load", overlap=Overlap.SKIP), 1)
    assert told == Refused("overlap", "a was still under way")
    noted = ledger.conflicts[-1]
    assert (noted.task_id, noted.dimension, noted.blockers) == ("load", "overlap:load", ("a",))
    ledger.release("a", 2)
    assert isinstance(ledger.decide(_run("c", 3, task="load", overlap=Overlap.SKIP), 3), Granted)


def test_the_first_of_a_batch_is_the_first_in_the_order() -> None:
    """Of two runs that exclude each other the earlier one goes, however they come in."""
    ledger = Ledger(TenantLimits())
    early = _run("a", 1, task="t", overlap=Overlap.SKIP)
    late = _run("b", 2, task="t", overlap=Overlap.SKIP)
    told = ledger.decide_all([late, early], 3)
    assert told == [Refused("overlap", "a was still under way"), Granted(1)]


def _newest(run_id: str, at: float, **fields: Any) -> Request:
    return _run(run_id, at, task="load", overlap=Overlap.CANCEL_RUNNING, **fields)


def test_the_newest_replaces_all_others() -> None:
    """Holders are stopped for the newest, waiting ones refused and woken; it goes when they end."""
    ledger = _ledger(TenantLimits(), _newest("a", 0), _newest("b", 1), _newest("c", 2))
    assert ledger.take_stop() == [("a", "c")]
    assert ledger.take_stop() == []
    assert ledger.take_wake() == ["b"]
    assert ledger.decide(_newest("b", 1), 3) == Refused("superseded", "c is newer")
    assert _sentences(ledger.explain("c")) == ["an earlier run of the task has not ended: a"]
    ledger.release("a", 4)
    assert ledger.decide(_newest("c", 2), 5) == Granted(2)


def test_a_replaced_run_stays_replaced() -> None:
    """A run that waited and was replaced does not go when the newer one has ended already."""
    ledger = _ledger(TenantLimits(), _newest("a", 0), _newest("b", 1), _newest("c", 2))
    ledger.release("a", 3)
    ledger.release("c", 4)
    for _ in range(2):
        assert ledger.decide(_newest("b", 1), 5) == Refused("superseded", "c is newer")
    assert ledger.release("b", 6)
    assert (ledger.counters.attempts, ledger.counters.refused) == (3, 1)


def test_an_older_run_does_not_replace_a_newer() -> None:
    """A fire that comes late is refused, and the newer run is not stopped."""
    ledger = _ledger(TenantLimits(), _newest("b", 2))
    assert ledger.decide(_newest("a", 1), 3) == Refused("superseded", "b is newer")
    assert ledger.take_stop() == []


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_of_one_batch_the_newest_stays(names: tuple[str, ...]) -> None:
    """Runs that replace each other may come together, in any order: the newest stops the first."""
    at = {"a": 1.0, "b": 2.0, "c": 3.0}
    ledger = Ledger(TenantLimits())
    told = dict(zip(names, ledger.decide_all([_newest(n, at[n]) for n in names], 4), strict=True))
    assert told["a"] == Granted(1)
    assert told["b"] == Refused("superseded", "c is newer")
    assert isinstance(told["c"], Queued)
    assert (ledger.take_wake(), ledger.take_stop()) == ([], [("a", "c")])
    ledger.release("a", 5)
    assert ledger.take_wake() == ["c"]


def test_a_run_that_waits_may_be_replaced_in_the_batch_it_asks_again_in() -> None:
    """It is told so at once."""
    ledger = _ledger(TenantLimits(), _newest("a", 0), _newest("b", 1))
    told = ledger.decide_all([_newest("b", 1), _newest("c", 2)], 3)
    assert told[0] == Refused("superseded", "c is newer")
    assert isinstance(told[1], Queued)


def test_who_is_to_be_stopped_and_has_ended_is_not_named() -> None:
    """A run that ends before anybody was told is not stopped any more."""
    ledger = _ledger(TenantLimits(), _newest("a", 0), _newest("b", 1))
    ledger.release("a", 2)
    assert ledger.take_stop() == []


@pytest.mark.parametrize("rule", ["skip", "fail"])
def test_a_run_that_does_not_wait_is_refused_with_the_blockers(rule: OnConflict) -> None:
    """The code is `conflict`; what it means for the run is its task's business."""
    ledger = _ledger(TenantLimits(), _run("a", mutex=("x",)))
    told = ledger.decide(_run("b", 1, mutex=("x",), on_conflict=rule), 1)
    assert told == Refused("conflict", "mutex group x (limit 1, 1 in use) is held by a")
    assert ledger.explain("b") is None
    noted = ledger.conflicts[-1]
    assert (noted.number, noted.at, noted.task_id) == (1, 1, "b")
    assert (noted.dimension, noted.blockers) == ("mutex:x", ("a",))


def test_who_is_refused_makes_way_in_its_batch() -> None:
    """Blocked only by one that is itself refused, a run that does not wait goes after all."""
    ledger = _ledger(_GPUS, _run("a", gpu=2))
    large = _run("large", 1, gpu=4, on_conflict="skip")
    small = _run("small", 2, gpu=2, on_conflict="skip")
    for batch in ([large, small], [small, large]):
        told = dict(zip((r.run_id for r in batch), ledger.decide_all(batch, 3), strict=True))
        assert isinstance(told["large"], Refused)
        assert isinstance(told["small"], Granted)
        ledger.release("small", 4)


def test_warn_runs_beside_the_holder() -> None:
    """It counts for all that was free, not for what was not, and gives back what it counted for."""
    ledger = _ledger(_GPUS, _run("a", mutex=("x",), gpu=1))
    beside = _run("b", 1, mutex=("x",), gpu=1, on_conflict="warn")
    warning = "it runs beside the holders of mutex group x: its on_conflict is warn"
    assert ledger.decide(beside, 1) == Granted(2, warning)
    assert ledger.decide(beside, 2) == Granted(2, warning)
    assert ledger.used == {"concurrent": 2, "resource:gpu": 2, "mutex:x": 1}
    ledger.release("b", 3)
    assert ledger.used == {"concurrent": 1, "resource:gpu": 1, "mutex:x": 1}
    assert isinstance(ledger.decide(_run("c", 4, mutex=("x",)), 4), Queued)


@pytest.mark.parametrize("rule", ["skip", "fail", "warn"])
def test_behind_its_own_runs_a_run_waits_whatever_the_rule(rule: OnConflict) -> None:
    """`overlap: queue` says that it waits; `on_conflict` is about other tasks' runs."""
    first = _run("a", task="load", overlap=Overlap.QUEUE)
    ledger = _ledger(TenantLimits(), first)
    second = _run("b", 1, task="load", overlap=Overlap.QUEUE, on_conflict=rule)
    assert isinstance(ledger.decide(second, 1), Queued)


def test_what_can_never_be_met_is_refused() -> None:
    """At once when it asks, and when the limits fall under what it waits for."""
    never = Refused("impossible", "resource gpu: 5 can never be met, the tenant has 4")
    ledger = _ledger(_GPUS, _run("a", gpu=4), _run("b", 1, gpu=4))
    assert ledger.decide(_run("c", 2, gpu=5), 2) == never
    ledger.set_limits(TenantLimits(resources={"gpu": 3}), 3)
    assert ledger.take_wake() == ["b"]
    reason = "resource gpu: 4 can never be met, the tenant has 3"
    assert ledger.decide(_run("b", 1, gpu=4), 4) == Refused("impossible", reason)
    assert ledger.explain("a") == Granted(1)


def test_lower_limits_stop_nobody_and_admit_nobody() -> None:
    """Above the new limit nobody is admitted until enough have ended."""
    ledger = _ledger(TenantLimits(max_concurrent=3), *(_run(n) for n in "abc"))
    ledger.set_limits(TenantLimits(max_concurrent=1), 1)
    assert list(ledger.holders) == ["a", "b", "c"]
    told = ledger.decide(_run("d", 2), 2)
    assert _sentences(told) == [
        "the tenant's max_concurrent (limit 1, 3 in use) is held by a, b, c"
    ]
    ledger.release("a", 3)
    ledger.release("b", 3)
    assert ledger.take_wake() == []
    ledger.release("c", 3)
    assert ledger.take_wake() == ["d"]


def test_higher_limits_admit_at_once() -> None:
    """Whoever fits under the new limits is admitted and woken, in order."""
    ledger = _ledger(_ONE_AT_A_TIME, *(_run(n, at) for at, n in enumerate("abcd")))
    ledger.set_limits(TenantLimits(max_concurrent=3), 9)
    assert ledger.take_wake() == ["b", "c"]
    ledger.set_limits(TenantLimits(), 10)
    assert ledger.take_wake() == ["d"]


def test_a_run_that_gives_up_lets_the_next_go() -> None:
    """A waiting run that is released frees what was kept for it; one unknown changes nothing."""
    ledger = _ledger(_GPUS, _run("a", gpu=1), _run("large", 1, gpu=4), _run("small", 2, gpu=1))
    assert ledger.release("large", 3)
    assert not ledger.release("large", 3)
    assert ledger.take_wake() == ["small"]


def test_a_run_that_was_admitted_and_ends_unheard_is_not_woken() -> None:
    """The wake for it is taken back with its grant."""
    ledger = _ledger(_ONE_AT_A_TIME, _run("a"), _run("b", 1))
    ledger.release("a", 2)
    ledger.release("b", 3)
    assert ledger.take_wake() == []
    assert ledger.used == {"concurrent": 0}


def test_an_answer_makes_the_wake_needless() -> None:
    """Who has been told its answer is not woken for it."""
    ledger = _ledger(_ONE_AT_A_TIME, _run("a"), _run("b", 1))
    ledger.release("a", 2)
    ledger.decide(_run("b", 1), 3)
    assert ledger.take_wake() == []


def test_a_recovered_holder_is_taken_up_once_and_above_any_limit() -> None:
    """What really runs counts, even beyond the limit; later fences are above all that are known."""
    ledger = Ledger(_ONE_AT_A_TIME)
    for _ in range(2):
        ledger.take_up(Holder(_run("a"), 7, 0.0))
        ledger.take_up(Holder(_run("b"), 5, 0.0, confirmed=False))
    assert ledger.used == {"concurrent": 2}
    assert ledger.take_wake() == ["b"]
    ledger.release("a", 1)
    ledger.release("b", 1)
    assert ledger.decide(_run("c", 2), 2) == Granted(8)


def test_a_run_that_was_thought_to_wait_and_holds_is_a_holder() -> None:
    """Taken up as a holder it leaves the queue; taken up as waiting it goes on holding."""
    ledger = Ledger(_ONE_AT_A_TIME)
    ledger.take_up(_run("a"))
    ledger.take_up(Holder(_run("a"), 3, 0.0))
    ledger.take_up(_run("a"))
    assert (list(ledger.holders), list(ledger.waiting)) == (["a"], [])
    assert ledger.explain("a") == Granted(3)


def test_recovered_waiting_runs_go_in_their_order() -> None:
    """However they were found, the first in the order goes first when the ledger settles."""
    ledger = Ledger(_ONE_AT_A_TIME)
    for run in (_run("c", 3), _run("a", 1), _run("b", 2, patience=4)):
        ledger.take_up(run)
    ledger.settle(6)
    assert ledger.take_wake() == ["a", "b"]
    assert (list(ledger.holders), list(ledger.waiting)) == (["a"], ["c"])


def test_a_recovered_run_that_is_being_replaced_is_stopped_again() -> None:
    """Nobody knows whether it was told."""
    ledger = Ledger(TenantLimits())
    ledger.take_up(Holder(_newest("a", 0), 1, 0.0, stopped_by="b"))
    assert ledger.take_stop() == [("a", "b")]


def test_an_unknown_run_is_not_explained() -> None:
    """None, and no sentence that could be wrong."""
    assert Ledger(TenantLimits()).explain("a") is None


def test_the_queue_is_named_but_not_all_of_it() -> None:
    """A blocker names three runs at most."""
    ledger = _ledger(TenantLimits(max_concurrent=5), *(_run(f"r{n}") for n in range(5)))
    told = ledger.decide(_run("x", 1), 1)
    assert isinstance(told, Queued)
    assert told.blockers[0].runs == ("r0", "r1", "r2")
