"""The pure cores that `benchmarks.items` measures, each with work of any size."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from pydantic import JsonValue

from benchmarks.events import ORDER, sources
from benchmarks.forecast import NAMESPACE, START, files_of, mixture
from domain.admission import Ledger
from domain.agenda import Agenda, Key, Spans
from domain.decisions import Granted, Request
from domain.durations import Durations
from domain.events_in import CloudEvent, parse_structured
from domain.forecast import forecast
from domain.ledger_state import pack_ledger, unpack_ledger
from domain.limits import CONCURRENT, Demand, TenantLimits
from domain.registration import read_registration
from domain.rules import RuleIndex, RuleSource
from shared.policy import load_policy
from shared.settings import get_settings

Work = Callable[[], int]
"""Does it once, and says how many items that were."""

HOUR = timedelta(hours=1)
EVENTS = 200
RUNNING, GROUPS, LEVELS = 50, 50, 5
"""Of the tenant whose runs ask: how many may run at once, and what they need besides."""
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Core:
    """`prepare` makes work of a size ready, which is not measured; `item` is what is counted."""

    name: str
    title: str
    item: str
    prepare: Callable[[int], Work]


def _registration(size: int) -> Work:
    files, policy = files_of(size), load_policy(get_settings().policy_file)
    return lambda: sum(len(read_registration(file, policy).tasks) for file in files)


@lru_cache(maxsize=1)
def _mixture(size: int) -> tuple[dict[Key, Spans], dict[str, TenantLimits]]:
    """Reading a hundred thousand tasks takes longer than most that is measured of them."""
    return mixture(size)


def _agenda(size: int) -> Agenda:
    tasks, _ = _mixture(size)
    agenda = Agenda(START, NAMESPACE)
    agenda.sync(tasks)
    return agenda


def _engine(size: int) -> Work:
    agenda = _agenda(size)
    return lambda: len(agenda.take(START + HOUR))


def _taking_up(size: int) -> Work:
    tasks, _ = _mixture(size)
    agenda = Agenda(START, NAMESPACE)

    def work() -> int:
        agenda.sync(tasks)
        return size

    return work


def _forecast(size: int) -> Work:
    tasks, limits = _mixture(size)

    def work() -> int:
        end = START + HOUR
        found = forecast(tasks, limits, Durations(), start=START, end=end, namespace_id=NAMESPACE)
        return found.fires

    return work


def _requests(size: int) -> list[Request]:
    return [
        Request(
            f"run/{number:06}",
            Demand(
                f"task-{number}",
                ((CONCURRENT, 1), (f"mutex:group-{number % GROUPS}", 1)),
                priority=number % LEVELS + 1,
            ),
            number / 1000,
            DAY_SECONDS,
        )
        for number in range(size)
    ]


def _ledger() -> Ledger:
    return Ledger(TenantLimits(max_concurrent=RUNNING))


def _admission(size: int) -> Work:
    """All ask within a short while, and then end in the order in which they were let in."""
    requests = _requests(size)

    def work() -> int:
        ledger = _ledger()
        for request in requests:
            ledger.decide(request, request.asked_at)
        now = requests[-1].asked_at
        while ledger.holders:
            now += 0.001
            ledger.release(next(iter(ledger.holders)), now)
        assert ledger.counters.granted == size  # noqa: S101 - else something else was measured
        return size

    return work


def _uncontended(size: int) -> Work:
    """Each is let in at once beside so many others that run, and ends."""
    requests = _requests(size)

    def work() -> int:
        ledger = Ledger(TenantLimits(max_concurrent=2 * size, mutex_groups=_wide(size)))
        for request in requests:
            answer = ledger.decide(request, request.asked_at)
            assert isinstance(answer, Granted)  # noqa: S101 - else something else was measured
        for request in requests:
            ledger.release(request.run_id, requests[-1].asked_at)
        return size

    return work


def _wide(size: int) -> dict[str, int]:
    return {f"group-{group}": size for group in range(GROUPS)}


def _hand_over(size: int) -> Work:
    ledger = _ledger()
    for request in _requests(size):
        ledger.decide(request, request.asked_at)
    return lambda: len(unpack_ledger(pack_ledger(ledger)).waiting) + RUNNING


def _said(of_type: str) -> CloudEvent:
    said: dict[str, JsonValue] = {"specversion": "1.0", "id": "e-1", "source": "/benchmark"}
    return parse_structured(said | {"type": of_type, "data": ORDER})


@lru_cache(maxsize=1)
def _sources(size: int) -> list[RuleSource]:
    return sources(size)


def _index(size: int) -> Work:
    rules = _sources(size)
    return lambda: len(RuleIndex.of(rules))


def _matching(size: int) -> Work:
    """Events of one type, which a hundred of so many rules are for."""
    index, event = RuleIndex.of(_sources(size)), _said("type-0")
    index.compile()

    def work() -> int:
        for _ in range(EVENTS):
            index.match("acme", event)
        return EVENTS

    return work


def _matching_all(size: int) -> Work:
    """One event, whose type all rules are for."""
    index, event = RuleIndex.of(sources(size, of_a_type=size)), _said("type-0")
    index.compile()

    def work() -> int:
        index.match("acme", event)
        return size

    return work


CORES: tuple[Core, ...] = (
    Core("registration", "a file read and checked", "task", _registration),
    Core("agenda", "engine: tasks taken up", "task", _taking_up),
    Core("engine", "engine: fires of the next hour", "fire", _engine),
    Core("forecast", "forecast of the next hour", "fire", _forecast),
    Core("admission", "admission at once, and release", "run", _uncontended),
    Core("queue", "admission through a queue of all", "run", _admission),
    Core("handover", "a governor's books packed and read", "run", _hand_over),
    Core("index", "index of event rules", "rule", _index),
    Core("match", "an event for 100 of the rules", "event", _matching),
    Core("match_all", "an event for all of the rules", "rule", _matching_all),
)
"""In the order of a run's life: from what is registered to what starts it."""
