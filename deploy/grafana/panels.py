"""Grafana's model of a dashboard, as far as ours needs it: panels in rows, and where they stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
GREEN, YELLOW, RED = "green", "yellow", "red"

Step = tuple[str, float | None]
"""A colour, and the value from which on it is shown; None is minus infinity."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query. `legend` names its series; `now`: only its last value."""

    expr: str
    legend: str = ""
    now: bool = False
    form: Literal["time_series", "heatmap", "table"] = "time_series"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's id of one; `steps` colour values, `top` ends the axis.

    `bound` draws the steps as lines into a graph.
    """

    kind: Literal["timeseries", "stat", "heatmap", "table", "state-timeline"]
    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int = 8
    height: int = 8
    steps: Sequence[Step] = ((GREEN, None),)
    top: float | None = None
    decimals: int | None = None
    bound: bool = False
    stacked: bool = False
    mappings: Sequence[dict[str, Any]] = ()
    transformations: Sequence[dict[str, Any]] = ()

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel, with its id, at its place."""
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "thresholds": {
                "mode": "absolute",
                "steps": [{"color": color, "value": value} for color, value in self.steps],
            },
            "color": {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"},
            "mappings": list(self.mappings),
        }
        if self.top is not None:
            defaults["max"] = self.top
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        if self.kind == "timeseries":
            defaults["min"] = 0
            defaults["custom"] = self._lines()
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS[self.kind],
            "transformations": list(self.transformations),
            "targets": [
                {
                    "refId": chr(ord("A") + at),
                    "datasource": SOURCE,
                    "editorMode": "code",
                    "expr": query.expr,
                    "legendFormat": query.legend or "__auto",
                    "format": query.form,
                    "instant": query.now,
                    "range": not query.now,
                }
                for at, query in enumerate(self.queries)
            ],
        }

    def _lines(self) -> dict[str, Any]:
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 40 if self.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if self.bound else "off"},
        }


_SHOWN = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": _SHOWN
    | {
        "colorMode": "background",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
    "state-timeline": {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title: from left to right, and on when there is no more room."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with the values of a label of a metric: all of them, unless somebody chooses."""

    name: str
    title: str
    metric: str
    label: str

    def as_json(self) -> dict[str, Any]:
        """The variable."""
        query = f"label_values({self.metric}, {self.label})"
        return {
            "name": self.name,
            "label": self.title,
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"qryType": 1, "query": query, "refId": "A"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "hide": 0,
            "options": [],
            "regex": "",
        }


def dashboard(
    uid: str, title: str, description: str, choices: Sequence[Choice], rows: Sequence[Row]
) -> dict[str, Any]:
    """The whole document."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
        "hide": 0,
        "options": [],
        "regex": "",
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["taskflow"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [source, *(choice.as_json() for choice in choices)]},
        "panels": list(_placed(rows)),
    }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                y, x, tallest = y + tallest, 0, 0
            number += 1
            yield panel.as_json(number, x, y)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
