"""`python -m shared.metric_table`: what `docs/metrics.md` shows of `shared.metric_names`."""

import sys

from shared.metric_names import METRICS, Metric, Source

TITLES: dict[Source, str] = {
    "worker": "Workers",
    "api": "The HTTP API",
    "nats": "`taskflow nats`",
    "sdk": "Temporal's SDK",
}


def table() -> str:
    """A section for each kind of process, as Markdown."""
    return "\n".join(_section(source, title) for source, title in TITLES.items())


def _section(source: Source, title: str) -> str:
    rows = [_row(metric) for metric in METRICS if metric.source == source]
    heading = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return f"### {title}\n\n{heading}" + "\n".join(rows) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(table())
