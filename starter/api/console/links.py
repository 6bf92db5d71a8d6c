"""Where pages are: those of the console, and those of Temporal's own Web UI."""

from urllib.parse import quote, urlencode

from starter.api.console import PREFIX


def link(*parts: str, **query: str | int | None) -> str:
    """The path of a page; what is None is left out. Ids of runs keep their slashes."""
    path = "/".join([PREFIX, *(quote(part) for part in parts)])
    said = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def temporal_workflow(base: str, namespace: str, workflow_id: str, run_id: str | None) -> str:
    """The history of a workflow, the newest one of this id when `run_id` is None."""
    parts = [_namespace(base, namespace), "workflows", quote(workflow_id, safe="")]
    parts += [quote(run_id, safe=""), "history"] if run_id else []
    return "/".join(parts)


def temporal_schedule(base: str, namespace: str, schedule_id: str) -> str:
    """A schedule."""
    return f"{_namespace(base, namespace)}/schedules/{quote(schedule_id, safe='')}"


def _namespace(base: str, namespace: str) -> str:
    return f"{base.rstrip('/')}/namespaces/{quote(namespace, safe='')}"
