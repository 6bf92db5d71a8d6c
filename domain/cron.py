"""Cron expressions as crontab(5) means them, parsed into plain values.

The result says which minutes, hours, days, months and weekdays are meant; when they come in a
zone is `domain.fires`, what Temporal is told is `domain.calendars`. Whatever is not crontab(5) is
refused with a message that says what to write instead. Days by the shape of a month go beyond
crontab(5), as other dialects of cron know them: `L`, `L-3`, `LW`, `15W`, `5#2` and `5L`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from domain.cron_fields import FIELDS, CronError, field_values, quote
from domain.month_days import LENGTHS, SpecialDay, matching_days

__all__ = ["MAX_LENGTH", "CronError", "CronExpression", "parse_cron"]

MAX_LENGTH = 256

_MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIVE_FIELDS = "crontab has 5 fields: minute hour day-of-month month day-of-week"
_WEEK = range(7)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """What a cron expression means: sorted values per field, and which fields begin with `*`.

    `text` is the five fields in lower case (but `L` and `W`) with single spaces, macros written
    out; parsing it again gives an equal value. Sunday is 0. A day field is its values and its
    special days together: at most one of the two is empty. Build it with `parse_cron`.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days_of_month: tuple[int, ...]
    months: tuple[int, ...]
    days_of_week: tuple[int, ...]
    minute_star: bool
    hour_star: bool
    day_of_month_star: bool
    day_of_week_star: bool
    special_days_of_month: tuple[SpecialDay, ...] = ()
    special_days_of_week: tuple[SpecialDay, ...] = ()

    @property
    def either_day(self) -> bool:
        """True if day-of-month OR day-of-week is meant: neither field begins with `*`."""
        return not (self.day_of_month_star or self.day_of_week_star)

    @property
    def is_fixed_time(self) -> bool:
        """True if minute and hour both do not begin with `*`: the DST rule for fixed times."""
        return not (self.minute_star or self.hour_star)

    def days_in(self, first_weekday: int, length: int) -> tuple[int, ...]:
        """The days that match, sorted, in a month as `calendar.monthrange` describes it."""
        return matching_days(
            (self.days_of_month, self.special_days_of_month),
            (self.days_of_week, self.special_days_of_week),
            self.either_day,
            first_weekday,
            length,
        )


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> CronExpression:
    """The meaning of a crontab(5) expression of five fields or a macro such as `@daily`.

    One task asks several times on its way. Raises CronError, for the first thing that is wrong.
    """
    normal = _normalise(text)
    fields = normal.split(" ")
    if len(fields) != len(FIELDS):
        raise CronError(_field_count_message(fields))
    (minutes, _), (hours, _), (days, special_days), (months, _), (weekdays, special_weekdays) = (
        field_values(spec, part) for spec, part in zip(FIELDS, fields, strict=True)
    )
    minute_star, hour_star, day_star, _, weekday_star = (part.startswith("*") for part in fields)
    cron = CronExpression(
        text=_text_of(fields),
        minutes=minutes,
        hours=hours,
        days_of_month=days,
        months=months,
        days_of_week=weekdays,
        minute_star=minute_star,
        hour_star=hour_star,
        day_of_month_star=day_star,
        day_of_week_star=weekday_star,
        special_days_of_month=special_days,
        special_days_of_week=special_weekdays,
    )
    _refuse_dates_that_never_come(cron)
    return cron


def _normalise(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise CronError(f"cron is {len(text)} characters long; the limit is {MAX_LENGTH}")
    if odd := re.search(r"[^\t -~]", text):
        raise CronError(
            f"cron contains the character {odd[0]!a}: write one line of plain ASCII, with spaces "
            "between the fields"
        )
    normal = " ".join(text.split())
    if re.match(r"(cron_)?tz\s*=", normal, re.IGNORECASE):
        raise CronError("the zone does not go inside the cron text: write it as `timezone:`")
    if normal.startswith("@"):
        return _expand_macro(normal.lower())
    return normal


def _text_of(fields: list[str]) -> str:
    """The fields in lower case, but `L` and `W` in upper case: 5l would read as 51."""
    minute, hour, day, month, weekday = (part.lower() for part in fields)
    return " ".join((minute, hour, day.upper(), month, re.sub(r"l\b", "L", weekday)))


def _expand_macro(macro: str) -> str:
    if expansion := _MACROS.get(macro):
        return expansion
    if macro == "@reboot":
        raise CronError(
            "@reboot is refused: a task belongs to no machine that could reboot; "
            "use an event trigger or start it by hand"
        )
    if macro.startswith("@every"):
        raise CronError("@every is not crontab: use an interval trigger, `every: 5m`")
    raise CronError(f"{quote(macro)} is not a macro: write one of {', '.join(_MACROS)}")


def _field_count_message(fields: list[str]) -> str:
    if fields == [""]:
        return f"cron is empty: {_FIVE_FIELDS}"
    if any(part.startswith("#") for part in fields):
        return "comments are not allowed in a cron text: use the task's `description:`"
    if len(fields) in {6, 7}:
        return f"seconds and years are not supported: {_FIVE_FIELDS}; this has {len(fields)}"
    return f"{_FIVE_FIELDS}; this has {len(fields)}"


def _refuse_dates_that_never_come(cron: CronExpression) -> None:
    # In 400 years each month begins on each weekday, February in both of its lengths.
    lengths = {length for month in cron.months for length in LENGTHS[month]}
    if any(cron.days_in(first, length) for length in lengths for first in _WEEK):
        return
    days, months, weekdays = (quote(part) for part in cron.text.split(" ")[2:])
    every_weekday = replace(cron, days_of_week=tuple(_WEEK))
    if any(every_weekday.days_in(first, length) for length in lengths for first in _WEEK):
        raise CronError(
            f"day-of-month {days} and day-of-week {weekdays} never fall on one day in month "
            f"{months}: with `*` at the beginning of one of them, both must match"
        )
    raise CronError(
        f"day-of-month {days} never comes in month {months}: the longest of these months has "
        f"{max(lengths)} days"
    )
