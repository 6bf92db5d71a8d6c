"""The figures for people: tables that fit a terminal of 100 columns."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_OF_TENANTS = (
    ("tasks", "tasks"),
    ("fires", "fires"),
    ("peak_second", "starts, busiest second"),
    ("peak_minute", "starts, busiest minute"),
    ("most_running", "runs under way, most"),
    ("most_waiting", "runs that wait, most"),
    ("decisions_second", "governor asked, busiest second"),
    ("decisions_minute", "governor asked, busiest minute"),
    ("answer_s", "governor answers after, most (s)"),
)

_WHOLE = 10
"""From here on decimals say nothing."""


def show(console: Console, found: dict[str, Any]) -> None:
    """Print everything."""
    console.print(
        f"{found['tasks']:,} tasks of {found['tenants']:,} tenants, {found['minutes']} minutes "
        f"from {found['start']}, seed {found['seed']}: {found['fires']:,} fires",
        highlight=False,
    )
    _starts(console, found)
    _tenants(console, found)
    _queues(console, found)
    _reached(console, found["reached"])
    takes = found["takes"]
    console.print(
        f"If a run costs what it does on two cores: {_number(takes['cores'])} cores, "
        f"{_number(takes['cores_busiest_minute'])} in the busiest minute. Workers for the calls "
        f"that are open at once: {takes['workers']:,}; namespaces for the watch: "
        f"{takes['namespaces']:,}. Each hour of retention: "
        f"{takes['database_gb_per_hour']:,.2f} GB of database, "
        f"{takes['visibility_rows_per_hour']:,.0f} rows of visibility.",
        highlight=False,
    )
    cost = found["cost"]
    console.print(
        f"Every fire came to one end, and the ledgers counted the same: "
        f"{'yes' if found['conserved'] else 'NO'}. The simulation took {cost['cpu_s']:.0f} s of "
        f"one core ({cost['drawing_s']:.0f} s to draw and register the tasks, then "
        f"{cost['us_per_fire']:.0f} us a fire) and {cost['memory_mb']:,} MB.",
        highlight=False,
    )


def _table(title: str, first: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _starts(console: Console, found: dict[str, Any]) -> None:
    starts = found["starts"]
    table = _table("Starts a second", "", "mean", "p50", "p99", "minute*", "max", "needed*")
    for name, title in (
        ("as_named", "as triggers say"),
        ("as_started", "staggered and jittered"),
    ):
        row = starts[name]
        table.add_row(
            title,
            *(_number(row[key]) for key in ("mean", "p50", "p99", "busiest_minute", "max")),
            _number(starts[f"needed_{name}"]),
        )
    console.print(table)
    table = _table(
        "The last start of a storm, if so many can be started in a second",
        "",
        *(f"{row['rate']:,.0f}/s" for row in starts["last_after_s"]),
    )
    for name, title in (
        ("as_named", "as triggers say"),
        ("as_started", "staggered and jittered"),
    ):
        waits = [f"{row[name]:,.0f} s" for row in starts["last_after_s"]]
        table.add_row(title, *waits)
    console.print(table)
    console.print(
        "* minute: mean of the busiest one. needed: so many a second that none is later than a "
        "minute. Moved by a spread, as too many of the tenant's fires shared a minute: "
        f"{found['moved']:,} tasks; no room in any minute: {found['refused']:,}.",
        style="dim",
        highlight=False,
    )


def _tenants(console: Console, found: dict[str, Any]) -> None:
    table = _table("Tenants, each by its own", "", "median", "1 in 100", "most", "all")
    for name, title in _OF_TENANTS:
        row = found["per_tenant"][name]
        total = _number(row["sum"]) if name in {"tasks", "fires"} else ""
        table.add_row(title, *(_number(row[key]) for key in ("p50", "p99", "max")), total)
    console.print(table)
    governors = found["governors"]
    console.print(
        f"Of {governors['with_work']:,} governors with work, {governors['above_in_a_second']:,} "
        f"are asked more than {governors['holds_per_s']:g} times in some second, and "
        f"{governors['above_for_a_minute']:,} for a whole minute; {governors['late']:,} would let "
        "somebody wait for more than 3 s, and be asked again.",
        highlight=False,
    )


def _queues(console: Console, found: dict[str, Any]) -> None:
    queue, fires = found["queue"], max(1, found["fires"])
    table = _table("All tenants together", "", "mean", "p50", "p99", "max")
    for title, row in (
        ("runs under way", found["running"]),
        ("runs that wait for a grant", queue["depth"]),
        ("seconds that those waited who waited", queue["waits_s"]),
    ):
        table.add_row(title, *(_number(row[key]) for key in ("mean", "p50", "p99", "max")))
    console.print(table)
    ends = ", ".join(
        f"{name} {count:,} ({count / fires:.2%})"
        for name, count in sorted(found["ends"].items(), key=lambda item: -item[1])
    )
    console.print(
        f"What came of the fires: {ends}. Waiting when the window ends: {queue['at_the_end']:,}. "
        f"SLAs likely to break: {found['breaches']:,}.",
        highlight=False,
    )


def _reached(console: Console, parts: list[dict[str, Any]]) -> None:
    table = _table("What is reached first", "", "needs", "holds", "times")
    for part in parts:
        style = "bold" if part["times"] > 1 else ""
        table.add_row(
            part["part"],
            _number(part["needs"]),
            _number(part["holds"]),
            f"{part['times']:.2f}",
            style=style,
        )
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE or value == int(value) else f"{value:.1f}"
