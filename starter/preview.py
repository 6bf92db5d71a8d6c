"""When a cron expression fires: the document of `preview`."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from domain.cron import parse_cron
from domain.describe import describe_cron
from domain.fires import cron_times
from domain.problems import InvalidInput, problems_of
from domain.task import CronTrigger
from starter.times import rfc3339


def preview(cron: str, timezone: str, *, after: datetime, count: int) -> dict[str, Any]:
    """The next `count` times after `after`. Errors: `InvalidInput` for the expression and zone."""
    try:
        trigger = CronTrigger(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise InvalidInput(problems_of(error)) from error
    expression = parse_cron(trigger.cron)
    times = islice(cron_times(expression, ZoneInfo(timezone), after=after.astimezone(UTC)), count)
    return {
        "cron": cron,
        "timezone": timezone,
        "description": describe_cron(expression),
        "times": [rfc3339(at) for at in times],
    }
