"""Times as people and tools name them in what they ask."""

from datetime import UTC, datetime

from domain.duration import parse_duration
from domain.problems import InvalidInput, Problem, shown

YEARS = range(1000, 9001)
"""Around a time there are others to be looked at, and no clock goes from year 1 to 9999."""


def instant(text: str, what: str) -> datetime:
    """A time with its offset from UTC, such as 2027-01-01T02:00:00+08:00 or ...Z."""
    message = f"{shown(text)} is not a time: write it as 2027-01-01T02:00:00+08:00"
    try:
        at = datetime.fromisoformat(text)
        if at.utcoffset() is not None:
            if at.year in YEARS:
                return at.astimezone(UTC)
            message = f"{shown(text)} is not in the years {YEARS.start} to {YEARS.stop - 1}"
    except (ValueError, OverflowError):
        pass
    raise InvalidInput([Problem((what,), message)])


def since(text: str, now: datetime, what: str = "since") -> datetime:
    """A time, or how long ago: `2h`, `3d`."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return instant(text, what)
    except InvalidInput:
        message = f"{shown(text)} is neither a duration such as 2h nor a time such as"
        problem = Problem((what,), f"{message} 2027-01-01T02:00:00Z")
        raise InvalidInput([problem]) from None
