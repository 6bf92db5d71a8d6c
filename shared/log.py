"""Logs to standard error: JSON lines for machines, columns for people."""

import logging
import sys
from datetime import UTC, datetime

import structlog
from structlog.typing import Processor
from temporalio import activity, workflow
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig

from shared.run_lines import complete_run_line, without_unknown
from shared.settings import Settings

_QUIET = {"httpx": logging.WARNING, "opentelemetry": logging.ERROR}
"""Others' loggers that would say something of each request, or of each try to send spans."""


def _own_failures(record: logging.LogRecord) -> bool:
    """Whether to keep a line: a failed attempt is logged by its activity, without a traceback."""
    return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure"


def configure(settings: Settings, *, quiet: bool = False) -> None:
    """Send this process's logs through structlog; call once, when the process starts.

    `quiet`: only what is wrong, unless the settings want everything.
    """
    human = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        complete_run_line,
    ]
    rendering: list[Processor] = (
        [
            without_unknown,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The default shows the values of variables, and secrets are among them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
        if human
        else [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=_as_json),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
        )
    )
    handler.addFilter(_own_failures)
    least = "WARNING" if quiet and settings.log_level == "INFO" else settings.log_level
    logging.basicConfig(handlers=[handler], level=least, force=True)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    # Temporal's loggers would put where they are into the text, too.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def forward_core() -> None:
    """Have what Temporal's core says, of lost connections mostly, be lines as all others are.

    Of clients that are made with no runtime of their own, from now on.
    """
    forwarding = LogForwardingConfig(logging.getLogger("temporalio.core"))
    told = LoggingConfig(filter=LoggingConfig.default.filter, forwarding=forwarding)
    runtime = Runtime(telemetry=TelemetryConfig(logging=told))
    Runtime.set_default(runtime, error_if_already_set=False)


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
