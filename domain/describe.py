"""One English sentence for a cron expression, written from its meaning rather than its text.

Away from clock changes, two expressions with one description fire alike: nothing is rounded off.
Where a phrase could mislead (a night range on chosen days) a longer, exact one is used. 24 h clock.
"""

from collections.abc import Sequence

from domain.calendars import compress
from domain.cron import CronExpression
from domain.month_days import (
    LastDay,
    LastWeekday,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
    SpecialDay,
)

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_NTH = ("first", "second", "third", "fourth", "fifth")
_HOUR_MINUTES = 60
_DAY_HOURS = 24
_MONTH_DAYS = 31
_SHORTEST_RUN = 3
_SPELLED_OUT = 6


def describe_cron(cron: CronExpression) -> str:
    """What `cron` means, such as `At 02:00, on Monday to Friday, in June`; no full stop."""
    days, months = _days(cron), _months(cron)
    times = _times(cron.hours, cron.minutes, any_day=not days and not months)
    if not days and times.startswith("At ") and len(cron.hours) < _DAY_HOURS:
        return f"{times}, every day{' ' * bool(months)}{months}"
    return ", ".join(phrase for phrase in (times, days, months) if phrase)


def _times(hours: Sequence[int], minutes: Sequence[int], *, any_day: bool) -> str:
    if len(minutes) == 1:
        return _one_minute(hours, minutes[0], any_day=any_day)
    if len(hours) == _DAY_HOURS:
        return _minutes(minutes)
    if len(hours) * len(minutes) <= _SPELLED_OUT:
        return f"At {_join([_clock(hour, minute) for hour in hours for minute in minutes])}"
    runs = _runs(hours, _DAY_HOURS, wraps=any_day)
    if len(runs) < _SHORTEST_RUN:
        spans = [
            f"from {_clock(first, minutes[0])} to {_clock(last, minutes[-1])}"
            for first, last in runs
        ]
        return f"{_minutes(minutes)}, {_join(spans)}"
    return f"{_minutes(minutes)}, during hours {_numbers(hours)}"


def _one_minute(hours: Sequence[int], minute: int, *, any_day: bool) -> str:
    if len(hours) == _DAY_HOURS:
        return "Every hour" + (f" at {_minutes_past(minute)}" if minute else ", on the hour")
    if len(hours) >= _SHORTEST_RUN:
        step = hours[1] - hours[0]
        if _DAY_HOURS % step == 0 and list(hours) == list(range(hours[0] % step, _DAY_HOURS, step)):
            return f"Every {step} hours from {_clock(hours[0], minute)}"
        runs = _runs(hours, _DAY_HOURS, wraps=any_day)
        if len(runs) == 1:
            first, last = runs[0]
            return f"Every hour from {_clock(first, minute)} to {_clock(last, minute)}"
    return f"At {_join([_clock(hour, minute) for hour in hours])}"


def _minutes(minutes: Sequence[int]) -> str:
    step = minutes[1] - minutes[0]
    if _HOUR_MINUTES % step == 0 and list(minutes) == list(range(0, _HOUR_MINUTES, step)):
        return "Every minute" if step == 1 else f"Every {step} minutes"
    return f"At minutes {_numbers(minutes)} past the hour"


def _minutes_past(minute: int) -> str:
    return f"{minute} minute{'' if minute == 1 else 's'} past"


def _days(cron: CronExpression) -> str:
    every_day = len(cron.days_of_month) == _MONTH_DAYS
    every_weekday = len(cron.days_of_week) == len(_DAYS)
    of_month = f"on {_days_of_month(cron)}"
    either_is_all = cron.either_day and (every_day or every_weekday)
    if either_is_all or (every_day and every_weekday):
        return ""
    if every_day:
        return f"on {_weekdays(cron, 'and')}"
    if _is_one_date(cron):
        return f"on {cron.days_of_month[0]} {_MONTHS[cron.months[0] - 1]}"
    if every_weekday:
        return of_month
    if cron.either_day:
        return f"{of_month} or on {_weekdays(cron, 'or')}"
    return f"{of_month} when that is {_weekdays(cron, 'or')}"


def _is_one_date(cron: CronExpression) -> bool:
    every_weekday = len(cron.days_of_week) == len(_DAYS) and not cron.either_day
    one_day = len(cron.days_of_month) == len(cron.months) == 1 and not cron.special_days_of_month
    return every_weekday and one_day


def _days_of_month(cron: CronExpression) -> str:
    days = cron.days_of_month
    plain = [f"day{'' if len(days) == 1 else 's'} {_numbers(days)}"] if days else []
    return f"{_join([*plain, *map(_special, cron.special_days_of_month)])} of the month"


def _weekdays(cron: CronExpression, word: str) -> str:
    monday_first = sorted((day - 1) % len(_DAYS) for day in cron.days_of_week)
    special = [_special(day) for day in cron.special_days_of_week]
    names = _join([*_names(monday_first, _DAYS), *special], word)
    return f"{names} of the month" if special else names


def _special(day: SpecialDay) -> str:
    """A day by the shape of its month, to be followed by `of the month`."""
    match day:
        case LastDay(before):
            return _last_day(before)
        case LastWorkday():
            return "the last weekday (Monday to Friday)"
        case NearestWorkday(near):
            return f"the weekday (Monday to Friday) nearest to day {near}"
        case NthWeekday(weekday, nth):
            return f"the {_NTH[nth - 1]} {_DAYS[weekday - 1]}"
        case LastWeekday(weekday):
            return f"the last {_DAYS[weekday - 1]}"


def _last_day(before: int) -> str:
    if before:
        return f"the day {'' if before == 1 else f'{before} days '}before the last day"
    return "the last day"


def _months(cron: CronExpression) -> str:
    if len(cron.months) == len(_MONTHS) or _is_one_date(cron):
        return ""
    return f"in {_join(_names([month - 1 for month in cron.months], _MONTHS))}"


def _names(places: Sequence[int], names: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for first, last in _runs(places, len(names), wraps=True):
        length = (last - first) % len(names) + 1
        if length >= _SHORTEST_RUN:
            parts.append(f"{names[first]} to {names[last]}")
        else:
            parts.extend(names[(first + step) % len(names)] for step in range(length))
    return parts


def _runs(values: Sequence[int], size: int, *, wraps: bool) -> list[tuple[int, int]]:
    """Runs of consecutive values as (first, last); one that goes round the end is kept whole.

    Only a single run is allowed to wrap: `22 to 2` reads well, among others it does not.
    """
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    match runs:
        case [(0, last), (first, end)] if wraps and end == size - 1:
            return [(first, last)]
    return runs


def _numbers(values: Sequence[int]) -> str:
    parts: list[str] = []
    no_field = (-1, values[-1])  # so that no step is run on to the end of a field
    for part in compress(values, *no_field):
        members = range(part.start, part.end + 1, part.step)
        if len(members) < _SHORTEST_RUN or (part.step > 1 and len(members) <= _SPELLED_OUT):
            parts.extend(str(value) for value in members)
        elif part.step == 1:
            parts.append(f"{part.start} to {part.end}")
        else:
            parts.append(f"{members[0]}, {members[1]}, {members[2]}, ..., {members[-1]}")
    return _join(parts)


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _join(parts: Sequence[str], word: str = "and") -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"
