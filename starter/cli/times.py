"""Times as people read them: on the clock of the task's zone, in UTC, and from now."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.duration import format_duration
from starter.times import also_utc, clock

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def stamp(at: datetime, zone: str, now: datetime) -> str:
    """`02:00:07` today, else `2026-11-23 02:00:07`, for a column that names its zone."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def relative(at: datetime, now: datetime) -> str:
    """`in 4 min`, `2 h ago`, `now`."""
    seconds = (at - now) / timedelta(seconds=1)
    size = abs(seconds)
    if size < 1:
        return "now"
    for least, unit, name in ((2 * _DAY, _DAY, "days"), (2 * _HOUR, _HOUR, "h"), (100, 60, "min")):
        if size >= least:
            text = f"{size / unit:.0f} {name}"
            break
    else:
        text = f"{size:.0f} s"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def full(at: datetime, zone: str, now: datetime) -> str:
    """All three: `2026-11-24 02:00 +08:00 (18:00 UTC, in 4 min)`."""
    return f"{clock(at, zone)} ({', '.join(filter(None, [also_utc(at, zone), relative(at, now)]))})"


def took(milliseconds: int | None) -> str:
    """`340ms`, `1.2s`, `3m20s`; nothing for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds}ms"
    if milliseconds < _MINUTE * 1000:
        return f"{milliseconds / 1000:.1f}s"
    return format_duration(timedelta(seconds=round(milliseconds / 1000)))
