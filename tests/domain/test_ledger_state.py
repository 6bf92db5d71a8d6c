"""A ledger as text: it comes back as it was, also from older and newer versions of itself."""

import json

import pytest

from domain.admission import MOST_CONFLICTS, Ledger
from domain.decisions import Conflict, Granted, Refused, Request
from domain.ledger_state import MOST_REFUSED, pack_ledger, state_of, unpack_ledger
from domain.limits import Demand, TenantLimits
from domain.packing import pack, unpack
from domain.task import Overlap

_OLDEST = {
    "limits": {"max_concurrent": 1},
    "holders": [
        {
            "request": {
                "run_id": "a",
                "task_id": "load",
                "units": [["concurrent", 1]],
                "overlap": "allow",
                "priority": 3,
                "on_conflict": "queue",
                "asked_at": 1.5,
                "deadline": 100.25,
            },
            "fence": 4,
            "since": 2.0,
        }
    ],
}


def _run(run_id: str, at: float = 0.0, patience: float = 600.0) -> Request:
    demand = Demand("load", (("concurrent", 1), ("overlap:load", 1)), Overlap.CANCEL_RUNNING)
    return Request(run_id, demand, at, at + patience)


def _plain(run_id: str, at: float = 0.0, patience: float = 600.0) -> Request:
    return Request(run_id, Demand("plain", (("concurrent", 1),)), at, at + patience)


def test_a_state_without_the_later_fields_loads() -> None:
    """What a first version wrote is a ledger: the fields that came later have their defaults."""
    ledger = unpack_ledger(pack(json.dumps(_OLDEST)))
    assert ledger.explain("a") == Granted(4)
    assert ledger.fence == 4
    assert ledger.used == {"concurrent": 1}
    assert ledger.take_wake() == []


def test_a_state_with_unknown_fields_loads() -> None:
    """Fields and counters of tomorrow are left out, at every depth."""
    state = json.loads(json.dumps(_OLDEST))
    state |= {"mood": "good", "counters": {"attempts": 3, "smiles": 9}}
    state["limits"]["colour"] = "red"
    state["holders"][0]["request"]["colour"] = "red"
    ledger = unpack_ledger(pack(json.dumps(state)))
    assert ledger.explain("a") == Granted(4)
    assert ledger.counters.attempts == 3


def test_a_ledger_without_runs_comes_back() -> None:
    """Limits and the last fence are all that it has."""
    ledger = unpack_ledger(pack_ledger(Ledger(TenantLimits(max_concurrent=2), fence=9)))
    assert (ledger.limits.max_concurrent, ledger.fence) == (2, 9)


def test_whoever_may_not_have_heard_is_told_again() -> None:
    """Admitted, refused while waiting, or to be stopped: none of them is lost on the way, though
    the messages had been taken.
    """
    ledger = Ledger(TenantLimits(max_concurrent=2))
    for run in (_run("a"), _plain("b"), _run("old", 1), _plain("late", 2, 1), _plain("c", 3)):
        ledger.decide(run, run.asked_at)
    ledger.decide(_run("new", 4), 4)
    ledger.release("b", 6)
    told = ledger.take_wake(), ledger.take_stop()
    assert told == (["c", "late", "old"], [("a", "new")])
    again = unpack_ledger(pack_ledger(ledger))
    assert (again.take_wake(), again.take_stop()) == told
    assert again.decide(_run("old", 1), 7) == Refused("superseded", "new is newer")
    assert state_of(again).waiting == state_of(ledger).waiting


def test_what_a_ledger_remembers_is_bounded() -> None:
    """Conflicts, and refused runs that nobody released, do not grow for ever."""
    ledger = Ledger(TenantLimits())
    ledger.conflicts.extend(Conflict(n, 0.0, "t", "concurrent", ()) for n in range(3000))
    ledger.refused |= {f"r{n}": Refused("queue_timeout", "late") for n in range(3000)}
    again = unpack_ledger(pack_ledger(ledger))
    assert len(again.conflicts) == MOST_CONFLICTS
    assert again.conflicts[-1].number == 2999
    assert list(again.refused) == [f"r{n}" for n in range(3000 - MOST_REFUSED, 3000)]


def test_ten_thousand_waiting_runs_fit_into_a_payload() -> None:
    """Temporal refuses a payload of 2 MB."""
    ledger = Ledger(TenantLimits(max_concurrent=1))
    for number in range(10_000):
        ledger.take_up(_plain(f"run/acme/daily-report/{number}", 1.7e9 + number * 0.037))
    assert len(pack_ledger(ledger)) < 500_000


@pytest.mark.parametrize("text", ["", "no base 64!", pack("not JSON"), pack("{}")])
def test_what_is_no_ledger_is_a_value_error(text: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        unpack_ledger(text)


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 世界 🌍", "x" * 1_000_000])
def test_texts_are_packed_as_short_ascii(text: str) -> None:
    """Any text comes back, and repetition costs next to nothing."""
    packed = pack(text)
    assert packed.isascii()
    assert unpack(packed).decode() == text
    assert len(packed) < 2000
