"""The SLA report for other tools and for people who have none of them: CSV and one HTML page."""

import csv
import io
from datetime import datetime
from enum import StrEnum
from functools import cache

from jinja2 import Environment, StrictUndefined, Template

from domain.levels import MEDIAN, NEARLY_ALL, ON_TIME_TARGET, SUCCESS_TARGET, Level, percent
from starter.sla_report import SlaReport
from starter.times import clock

CSV_COLUMNS = ("tenant_id", "task_id", *Level().as_json())
MISSES = "\N{MULTIPLICATION SIGN}"
"""Stands beside a rate that misses its target: colour alone is not seen by everybody."""


class Format(StrEnum):
    """What a report may be asked for as."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.HTML: "text/html",
}


def accepted(accept: str) -> Format:
    """What an `Accept` header likes best of them; JSON where it does not say."""
    best, found = 0.0, Format.JSON
    for part in accept.split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        for name, media_type in MEDIA_TYPES.items():
            if kind == media_type and (weight := _weight(parameters)) > best:
                best, found = weight, name
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter.removeprefix("q="))
            except ValueError:
                return 0.0
    return 1.0


def as_csv(report: SlaReport) -> str:
    """RFC 4180: a line for each task, names of columns first; empty where nothing is counted."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for row in report.as_json()["rows"]:
        writer.writerow([_cell(row[name]) for name in CSV_COLUMNS])
    return text.getvalue()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def as_html(report: SlaReport, made_at: datetime) -> str:
    """One page that needs nothing else: no script, no image and no address."""
    return _page().render(
        when=f"{clock(report.since)} to {clock(report.until)}",
        made_at=clock(made_at),
        rows=[("/".join(key), _cells(report.levels[key])) for key in sorted(report.levels)],
        totals=_cells(report.totals()),
        warnings=report.warnings,
        on_time_target=percent(ON_TIME_TARGET),
        success_target=percent(SUCCESS_TARGET),
        rolled_up=len(report.rolled_up),
        misses=MISSES,
        missing=sum(
            level.on_time_met is False or level.success_met is False
            for level in report.levels.values()
        ),
    )


def _cells(level: Level) -> list[tuple[str, bool]]:
    """Texts in the order of the page's columns, and whether each misses a target."""
    latencies = (level.latencies.percentile(share) for share in (MEDIAN, NEARLY_ALL))
    counts = (level.late, level.missed, level.skipped, level.waiting, level.runs)
    more = (level.failed, level.retries, level.breaches)
    return [
        (f"{level.due:,}", False),
        (percent(level.on_time_rate), level.on_time_met is False),
        (percent(level.success_rate), level.success_met is False),
        *((f"{count:,}", False) for count in (*counts, *more)),
        *(("" if s is None else f"{s:,.2f} s", False) for s in latencies),
    ]


@cache
def _page() -> Template:
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _PAGE
    )


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>SLA report, {{ when }}</title>
<style>
:root { color-scheme: light dark; --ink: #1a1d21; --faint: #5b6470; --line: #d9dde2;
  --paper: #fff; --band: #f4f6f8; --bad: #b3261e; --bad-paper: #fdecea; --note: #fff6db; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --faint: #a3adb8; --line: #363d45;
  --paper: #15181c; --band: #1e2328; --bad: #ff8a80; --bad-paper: #3a1c1a; --note: #3a3213; } }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; }
p { margin: .4rem 0; } .faint { color: var(--faint); }
ul.warnings { background: var(--note); margin: 1rem 0; padding: .6rem 1rem .6rem 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; }
caption { text-align: left; color: var(--faint); padding-bottom: .4rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  text-align: right; font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: var(--paper);
  border-bottom: 2px solid var(--line); }
tbody th { font-weight: 500; } tbody tr:nth-child(even) { background: var(--band); }
tfoot th, tfoot td { font-weight: 700; border-top: 2px solid var(--line); }
.misses { color: var(--bad); background: var(--bad-paper); font-weight: 700; }
@media print { body { margin: 0; max-width: none; } thead th { position: static; } }
</style>
</head>
<body>
<h1>SLA report</h1>
<p>What was due from {{ when }}, and what its runs came to.</p>
<p>Targets: at least <strong>{{ on_time_target }}</strong> on time and
<strong>{{ success_target }}</strong> successful.
{% if missing %}
<span class="misses">{{ missing }} of {{ rows | length }} tasks miss one.</span>
{% elif rows %}
Every task reaches both.
{% endif %}
</p>
{% if warnings %}
<ul class="warnings">
{% for warning in warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul>
{% endif %}
{% if rows %}
<div class="wide" tabindex="0" role="region" aria-label="Tasks">
<table>
<caption>{{ misses }} marks a rate below its target</caption>
<thead><tr><th scope="col">Task</th>
{% for name in ("Due", "On time", "Succeeded", "Late", "Missed", "Skipped", "Waiting", "Runs",
                "Failed", "Retries", "Breaches", "p50", "p99") %}
<th scope="col">{{ name }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for name, cells in rows %}
<tr><th scope="row">{{ name }}</th>
{%- for text, bad in cells %}<td{% if bad %} class="misses"{% endif %}>{{ text }}
{%- if bad %} {{ misses }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
<tfoot><tr><th scope="row">all</th>
{%- for text, bad in totals %}<td{% if bad %} class="misses"{% endif %}>{{ text }}
{%- if bad %} {{ misses }}{% endif %}</td>{% endfor %}</tr></tfoot>
</table>
</div>
{% else %}
<p>Nothing was due and nothing ran.</p>
{% endif %}
<p class="faint">Made at {{ made_at }}. On time is a run that began within 60 s of when it was due;
a fire that a rule skipped counts neither way. p50 and p99: how long after it was due a run began.
{% if rolled_up %}
Whole days from roll-ups: {{ rolled_up }}; latencies of those read within 2 % of what they were.
{% endif %}
</p>
</body>
</html>
"""
