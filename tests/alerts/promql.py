"""What a PromQL query names: metrics and labels, and whether what it joins can ever meet."""

from collections.abc import Mapping
from dataclasses import dataclass

import promql_parser as promql

Labels = frozenset[str]
TARGET = Labels({"job", "instance"})
"""What Prometheus gives every series that it scrapes."""


class QueryError(Exception):
    """It parses, and names something that there is not."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was read: the metrics that it names, and the labels that its result may have.

    `labels` is None for a number.
    """

    names: frozenset[str]
    labels: Labels | None


def read(text: str, known: Mapping[str, Labels]) -> Query:
    """Read a query; `known` are metrics by name, with their labels. Errors: `QueryError`."""
    reader = _Reader(known)
    try:
        labels = reader.labels(promql.parse(text))
    except (QueryError, ValueError) as error:
        raise QueryError(f"{error}, in: {text}") from error
    return Query(frozenset(reader.names), labels)


class _Reader:
    def __init__(self, known: Mapping[str, Labels]) -> None:
        self._known = known
        self.names: set[str] = set()

    def labels(self, expr: object) -> Labels | None:
        """Those that the value of an expression may have; None for a number."""
        match expr:
            case promql.VectorSelector():
                found = self._selected(expr)
            case promql.MatrixSelector():
                found = self._selected(expr.vector_selector)
            case promql.AggregateExpr():
                found = self._aggregated(expr)
            case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
                return self.labels(expr.expr)
            case promql.Call():
                return self._called(expr)
            case promql.BinaryExpr():
                return self._combined(expr)
            case promql.NumberLiteral() | promql.StringLiteral():
                return None
            case _:
                raise QueryError(f"{type(expr).__name__} is not understood here")
        return found

    def _selected(self, selector: promql.VectorSelector) -> Labels:
        name = selector.name or ""
        if name not in self._known:
            raise QueryError(f"there is no metric {name!r}")
        self.names.add(name)
        has = self._known[name]
        for matcher in selector.matchers.matchers:
            if matcher.name not in has:
                raise QueryError(f"{name} has no label {matcher.name}")
        return has

    def _aggregated(self, expr: promql.AggregateExpr) -> Labels:
        inner = self.labels(expr.expr) or Labels()
        if expr.modifier is None:
            return Labels()
        if expr.modifier.type != promql.AggModifierType.By:
            raise QueryError("say what to aggregate by, not without")
        kept = Labels(expr.modifier.labels)
        if strange := kept - inner:
            raise QueryError(f"it aggregates by {', '.join(sorted(strange))}, which nothing has")
        return kept

    def _called(self, call: promql.Call) -> Labels | None:
        given = [labels for arg in call.args if (labels := self.labels(arg)) is not None]
        name = call.func.name
        if name in ("time", "scalar"):
            return None
        found = Labels().union(*given)
        if name == "histogram_quantile":
            if "le" not in found:
                raise QueryError("a quantile needs the label le")
            return found - {"le"}
        return Labels() if name == "absent" else found

    def _combined(self, expr: promql.BinaryExpr) -> Labels | None:
        left, right = self.labels(expr.lhs), self.labels(expr.rhs)
        if left is None or right is None:
            return right if left is None else left
        operator = str(expr.op)
        if operator == "or":
            return left | right
        on = expr.modifier.matching if expr.modifier else None
        if on is None:
            if left != right:
                raise QueryError(f"{_said(left)} never matches {_said(right)}")
            return left
        matched = Labels(on.labels)
        if strange := matched - (left & right):
            raise QueryError(f"it matches on {', '.join(sorted(strange))}, which not both have")
        return left if operator in ("and", "unless") else matched


def _said(labels: Labels) -> str:
    return f"{{{', '.join(sorted(labels))}}}"
