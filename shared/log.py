"""Logs to standard error: JSON lines for machines, columns for people."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from shared.settings import Settings

_TEMPORAL_NOISE = ("temporal_workflow", "temporal_activity", "__temporal_error_identifier")


def _drop_noise(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Temporal's logger adds its whole context twice; our own fields already name the run."""
    for key in _TEMPORAL_NOISE:
        event.pop(key, None)
    return event


def _action_first(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Temporal's logger puts its context into the text too: keep the text stable."""
    text = event.get("event")
    if isinstance(text, str) and event.get("action"):
        event["event"] = text.split(" ({", 1)[0]
    return event


def _own_failures(record: logging.LogRecord) -> bool:
    """Whether to keep a line: a failed attempt is logged by its activity, without a traceback."""
    return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure"


def configure(settings: Settings) -> None:
    """Send this process's logs through structlog; call once, when the process starts."""
    human = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_noise,
        _action_first,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if human
        else structlog.processors.JSONRenderer(default=str)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    handler.addFilter(_own_failures)
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
