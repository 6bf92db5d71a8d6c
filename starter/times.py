"""Times as JSON documents and sentences write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def rfc3339(at: datetime | None) -> str | None:
    """UTC with milliseconds where there are any."""
    if at is None:
        return None
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def clock(at: datetime, zone: str = "UTC") -> str:
    """`2026-11-24 02:00 +08:00`, in UTC `2026-11-23 18:00 UTC`; seconds where there are any."""
    local = at.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d} {_time(local)} " + (
        "UTC" if zone == "UTC" else f"{offset[:3]}:{offset[3:5]}"
    )


def also_utc(at: datetime, zone: str) -> str:
    """`18:00 UTC`, for a time that `clock` already shows in another zone; else nothing."""
    return "" if zone == "UTC" else f"{_time(at.astimezone(UTC))} UTC"


def both(at: datetime, zone: str) -> str:
    """`2026-11-24 02:00 +08:00 (18:00 UTC)`; in UTC only the one."""
    other = also_utc(at, zone)
    return f"{clock(at, zone)} ({other})" if other else clock(at)


def _time(local: datetime) -> str:
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
