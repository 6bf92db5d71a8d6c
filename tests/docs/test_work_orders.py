"""The page about work orders says what the code says."""

from domain.duration import format_duration
from domain.notices import BreachKind
from domain.work_orders import DUE_AFTER, ESCALATES_AFTER, ORDER_STATES, SEVERITIES, Act
from shared.settings import ROOT

PAGE = (ROOT / "docs/work-orders.md").read_text()


def test_the_table_of_states_is_the_table_in_the_code() -> None:
    """Meaning, mover and what may be done stand in the document as they stand in the code."""
    for state, rule in ORDER_STATES.items():
        acts = ", ".join(f"`{act}`" for act in Act if act in rule.acts) or "-"
        assert f"| `{state}` | {rule.meaning} | {rule.moved_by} | {acts} |" in PAGE


def test_the_times_of_severities_are_those_in_the_code() -> None:
    """By when a work order is due, and when it escalates."""
    for severity in SEVERITIES:
        due = f"{DUE_AFTER[severity].total_seconds() / 3600:g}h"
        after = format_duration(ESCALATES_AFTER[severity]).replace("1d", "24h")
        assert f"| `{severity}` | {due} | {after} |" in PAGE


def test_every_kind_of_breach_is_explained() -> None:
    """None is left out."""
    for kind in BreachKind:
        assert f"`{kind}`" in PAGE
