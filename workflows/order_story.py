"""A work order told in a few lines of Markdown, for Temporal's Web UI."""

from datetime import datetime

from domain.work_orders import ORDER_STATES, WorkOrderView

NOTES_TOLD = 10


def tell_order(view: WorkOrderView) -> str:
    """Its current details: state first, then why, what there is to see, and what happened."""
    lines = [f"**{view.status}** - {ORDER_STATES[view.status].meaning}", ""]
    code = f"`{view.error_code}`: " if view.error_code else ""
    lines += [
        f"- why: {code}{view.cause}",
        f"- run: `{view.run_id}`, plugin `{view.plugin_id}`",
        f"- severity: {view.severity}, due {_utc(view.due_at)}",
        f"- owner: {view.owner or 'nobody'}",
    ]
    if view.external_id:
        lines.append(f"- outside: `{view.external_id}`")
    if view.attempts:
        last = view.attempts[-1]
        lines.append(
            f"- attempts: {len(view.attempts)}, the last at {_utc(last.at)} "
            f"`{last.error_code}`: {last.message}"
        )
    lines.append("")
    lines += [f"1. {_utc(note.at)} {note.who}: {note.what}" for note in view.notes[-NOTES_TOLD:]]
    return "\n".join(lines)


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
