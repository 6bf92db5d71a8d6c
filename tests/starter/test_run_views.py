"""What a run shows of its SLA, and of what it waits for."""

import io
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from domain.run import PauseInput
from domain.sla import SlaStatus
from domain.states import RunState
from starter.cli.run_view import STYLES, print_runs
from starter.runs import RunView, sla_of, waits_text

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
RUN = RunView(
    run_id="run/acme/report-2026-11-23T08:00:00Z",
    temporal_run_id="r",
    tenant_id="acme",
    task_id="report",
    plugin_id="builder",
    trigger_kind="cron",
    nominal_time=AT,
    trigger_time=AT,
    actual_start=AT,
    ended_at=None,
    duration_ms=None,
    status=RunState.RUNNING,
    reason=None,
    retry_count=0,
    error_code=None,
)
QUEUED = replace(RUN, status=RunState.QUEUED, actual_start=None)
MET, WARNED, BREACHED = SlaStatus.MET, SlaStatus.WARNED, SlaStatus.BREACHED


@pytest.mark.parametrize(
    ("run", "sla", "start", "finish"),
    [
        (RUN, None, None, None),
        (RUN, SlaStatus.WARNED, MET, WARNED),
        (RUN, SlaStatus.START_BREACHED, BREACHED, None),
        (RUN, SlaStatus.FINISH_BREACHED, MET, BREACHED),
        (RUN, SlaStatus.BREACHED, BREACHED, BREACHED),
        (QUEUED, SlaStatus.WARNED, None, WARNED),
        (QUEUED, SlaStatus.START_BREACHED, BREACHED, None),
        (replace(RUN, status=RunState.SUCCESS), SlaStatus.MET, MET, MET),
        (replace(RUN, status=RunState.SUCCESS), SlaStatus.WARNED, MET, WARNED),
        (replace(RUN, status=RunState.SUCCESS), SlaStatus.START_BREACHED, BREACHED, MET),
        (replace(RUN, status=RunState.FAILED), SlaStatus.FINISH_BREACHED, MET, BREACHED),
        (replace(QUEUED, status=RunState.MISSED), SlaStatus.START_BREACHED, BREACHED, None),
        (replace(QUEUED, status=RunState.CANCELLED), None, None, None),
    ],
)
def test_start_and_finish_are_told_apart(
    run: RunView, sla: SlaStatus | None, start: SlaStatus | None, finish: SlaStatus | None
) -> None:
    """Each by itself, and nothing where nothing is known."""
    shown = replace(run, sla=sla)

    assert sla_of(shown) == {"start": start, "finish": finish}
    assert shown.as_json()["sla"] == {"start": start, "finish": finish}


@pytest.mark.parametrize(
    ("waits_for", "text"),
    [
        ("mutex:db", "waits for mutex group db, position 2"),
        ("tenant", "waits for the tenant's max_concurrent, position 2"),
        ("capacity", "waits for capacity, position 2"),
        ("circuit:builder", "waits for the circuit of plugin builder, position 2"),
        ("paused", "paused"),
        (None, ""),
    ],
)
def test_an_open_run_says_what_it_waits_for(waits_for: str | None, text: str) -> None:
    """In words; one that has ended waits for nothing."""
    run = replace(QUEUED, waits_for=waits_for, position=2)

    assert waits_text(run) == text
    assert waits_text(replace(run, status=RunState.SKIPPED)) == ""


def test_who_holds_a_run_stands_below_its_id() -> None:
    """With the time and the words that were given."""
    pause = PauseInput(by="ann", at=AT, reason="disk\nfull")

    assert "paused by ann at 2026-11-23 08:00:00 UTC: disk full" in _table(
        replace(QUEUED, waits_for="paused", pause=pause), width=140
    )


def test_the_column_of_slas_is_there_when_a_run_has_one() -> None:
    """Within 100 columns, and not where it would leave no room for the ids."""
    late = replace(RUN, sla=SlaStatus.START_BREACHED, retry_count=1)
    table = _table(late, RUN, width=100)

    assert max(len(line) for line in table.splitlines()) <= 100
    assert "SLA" in table.splitlines()[0]
    assert "BREACHED" in table
    assert "SLA" not in _table(RUN, width=100)
    assert "SLA" not in _table(late, width=80)


def test_every_state_that_asks_for_attention_has_a_colour() -> None:
    """Also those between attempts, and those that undo."""
    assert {RunState.RETRYING, RunState.COMPENSATING, RunState.COMPENSATED} <= STYLES.keys()


def _table(*runs: RunView, width: int) -> str:
    """As it is printed."""
    out = io.StringIO()
    with redirect_stdout(out):
        print_runs(Console(width=width), list(runs))
    return out.getvalue()
