"""Times as JSON documents write them."""

from datetime import UTC, datetime


def rfc3339(at: datetime | None) -> str | None:
    """UTC with milliseconds where there are any."""
    if at is None:
        return None
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
