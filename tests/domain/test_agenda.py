"""The agenda: every fire of every task exactly once, however the time is cut into ticks."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from domain.agenda import Agenda, Fire, Key, Span, Spans, fires_of
from domain.due import due_times
from domain.ids import schedule_id
from domain.jitter import jitter_seed
from tests.conftest import task_of

START = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # the night in which Berlin repeats an hour
END = START + timedelta(hours=6)
NAMESPACE = "4b7b7b0c-9c4e-4bd7-8b0e-0d3c7b1f5a10"
PLAIN = task_of(triggers=[{"every": "10m"}])
TASKS = [
    task_of(triggers=[{"every": "10m"}], stagger="5m"),
    task_of(triggers=[{"every": "10m"}], stagger="1m", jitter="20m"),
    PLAIN,
    task_of(triggers=[{"every": "7m", "offset": "3s"}, {"cron": "*/15 * * * *"}]),
    task_of(triggers=[{"cron": "30 2 * * *", "timezone": "Europe/Berlin"}]),
    task_of(triggers=[{"at": "2026-10-25T03:00:01Z"}]),
    task_of(triggers=[{"at": "2001-01-01T00:00:00Z"}]),
]

seconds = st.integers(0, int((END - START).total_seconds()))


@st.composite
def spans(draw: st.DrawFn) -> Spans:
    """A task that was registered, changed, paused and resumed at any times."""
    edges = sorted(draw(st.sets(seconds, min_size=2, max_size=6)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    found = [
        Span(
            START + timedelta(seconds=a), START + timedelta(seconds=b), draw(st.sampled_from(TASKS))
        )
        for a, b in pairs
    ]
    if draw(st.booleans()):
        found.append(Span(START + timedelta(seconds=edges[-1]), None, draw(st.sampled_from(TASKS))))
    return tuple(found)


registries = st.dictionaries(
    st.tuples(st.just("acme"), st.sampled_from("abcdef")), spans(), max_size=4
)
ticks = st.sets(seconds, max_size=12).map(
    lambda found: [START + timedelta(seconds=s) for s in sorted(found)]
)


def expected(tasks: dict[Key, Spans], after: datetime, until: datetime) -> list[Fire]:
    """The fires of the window, worked out span by span."""
    return sorted(
        Fire(due.trigger_time, key, due.scheduled_time)
        for key, task_spans in tasks.items()
        for span in task_spans
        for due in due_times(
            span.task,
            after=span.since,
            until=span.until or until,
            seed=jitter_seed(NAMESPACE, schedule_id(*key)),
        )
        if after < due.trigger_time <= until
    )


@given(registries, ticks)
def test_every_fire_is_taken_once_whatever_the_ticks(
    tasks: dict[Key, Spans], until: list[datetime]
) -> None:
    """Ticks of any length, an outage of hours among them, give the fires of the whole time."""
    agenda = Agenda(START, NAMESPACE)
    agenda.sync(tasks)
    taken = [fire for at in [*until, END] for fire in agenda.take(at)]
    assert taken == expected(tasks, START, END)


@given(registries, ticks, st.integers(1, 5))
def test_a_limit_only_cuts_the_time_elsewhere(
    tasks: dict[Key, Spans], until: list[datetime], limit: int
) -> None:
    """With a limit the position says how far it came, and the rest is taken from there."""
    agenda = Agenda(START, NAMESPACE)
    agenda.sync(tasks)
    taken: list[Fire] = []
    for at in [*until, END]:
        while agenda.position < at:
            before = agenda.position
            taken += agenda.take(at, limit)
            assert agenda.position > before or agenda.position == at
    assert taken == expected(tasks, START, END)


@given(registries, registries, ticks)
def test_another_process_goes_on_where_one_was_killed(
    before: dict[Key, Spans], after: dict[Key, Spans], until: list[datetime]
) -> None:
    """A change of tasks, and an agenda made anew from the position, lose and repeat nothing."""
    agenda = Agenda(START, NAMESPACE)
    agenda.sync(before)
    taken = [fire for at in until for fire in agenda.take(at)]
    middle = agenda.position
    agenda.sync(after)
    anew = Agenda(middle, NAMESPACE)
    anew.sync(after)
    rest = agenda.take(END)
    assert rest == anew.take(END) == expected(after, middle, END)
    assert taken == expected(before, START, middle)


def test_a_task_that_is_unregistered_fires_no_more() -> None:
    """What is not wanted any more is not taken, though it stood in the heap."""
    agenda = Agenda(START, NAMESPACE)
    agenda.sync({("acme", "a"): (Span(START, None, PLAIN),)})
    agenda.sync({})
    assert agenda.take(END) == []


def test_fires_of_paused_time_are_not_expected() -> None:
    """Between two spans, and at the instant of the pause itself, the spans decide."""
    at = START + timedelta(minutes=30)
    paused = (Span(START, at, PLAIN), Span(at + timedelta(hours=1), None, PLAIN))
    found = islice(fires_of(("acme", "a"), paused, after=START), 6)
    minutes = [(fire.at - START) / timedelta(minutes=1) for fire in found]
    assert minutes == [10, 20, 30, 100, 110, 120]
