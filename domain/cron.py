"""Cron expressions as crontab(5) means them, parsed into plain values.

The result says which minutes, hours, days, months and weekdays are meant; when they come in a
zone is `domain.fires`, what Temporal is told is `domain.calendars`. Whatever is not crontab(5) is
refused with a message that says what to write instead.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

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
_LEAP_YEAR = 2000
_SHOWN = 40


class CronError(ValueError):
    """This is not a crontab(5) expression; the message names the field and what to write."""


@dataclass(frozen=True, slots=True)
class CronExpression:
    """What a cron expression means: sorted values per field, and which fields begin with `*`.

    `text` is the five fields in lower case with single spaces (macros written out); parsing it
    again gives an equal value. Sunday is 0. Build it with `parse_cron`.
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

    @property
    def either_day(self) -> bool:
        """True if day-of-month OR day-of-week is meant: neither field begins with `*`."""
        return not (self.day_of_month_star or self.day_of_week_star)

    @property
    def is_fixed_time(self) -> bool:
        """True if minute and hour both do not begin with `*`: the DST rule for fixed times."""
        return not (self.minute_star or self.hour_star)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    alias: Mapping[int, int] = field(default_factory=dict)  # a second number for one value

    @property
    def takes(self) -> str:
        names = list(self.names)
        words = f" or {names[0]}-{names[-1]}" if names else ""
        return f"{self.low}-{self.high}{words}"


_MONTH_NAMES = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAY_NAMES = dict(zip(("sun", "mon", "tue", "wed", "thu", "fri", "sat"), range(7), strict=True))

_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, _MONTH_NAMES),
    _Field("day-of-week", 0, 7, _DAY_NAMES, {7: 0}),
)

_ITEM = re.compile(r"(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([0-9]+))?")

# Other dialects of cron, tried in order on an item that is not crontab(5).
_DIALECTS = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (r".*#.*", "`#` (the n-th weekday of a month) is not supported yet"),
        (r".*\?.*", "`?` is not crontab: write `*`"),
        (r".*~.*", "`~` (a random value) is not supported: write a value and use `stagger:`"),
        (r"h\b.*", "`H` (a hashed value) is not supported: write a value and use `stagger:`"),
        (r"l|l-[0-9]+|[0-7]l|[a-z]{3}l", "`L` (last) is not supported yet"),
        (r"lw|wl|[0-9]+w|w", "`W` (the nearest workday) is not supported yet"),
        (r"[-+]\d.*", "signs are not allowed"),
    )
)


def parse_cron(text: str) -> CronExpression:
    """The meaning of a crontab(5) expression of five fields or a macro such as `@daily`.

    Raises CronError, for the first thing that is wrong.
    """
    normal = _normalise(text)
    fields = normal.split(" ")
    if len(fields) != len(_FIELDS):
        raise CronError(_field_count_message(fields))
    minutes, hours, days, months, weekdays = (
        _field_values(spec, part) for spec, part in zip(_FIELDS, fields, strict=True)
    )
    minute_star, hour_star, day_star, _, weekday_star = (part.startswith("*") for part in fields)
    cron = CronExpression(
        text=normal.lower(),
        minutes=minutes,
        hours=hours,
        days_of_month=days,
        months=months,
        days_of_week=weekdays,
        minute_star=minute_star,
        hour_star=hour_star,
        day_of_month_star=day_star,
        day_of_week_star=weekday_star,
    )
    _refuse_dates_that_never_come(cron, days_text=fields[2], months_text=fields[3])
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
    raise CronError(f"{_quote(macro)} is not a macro: write one of {', '.join(_MACROS)}")


def _field_count_message(fields: list[str]) -> str:
    if fields == [""]:
        return f"cron is empty: {_FIVE_FIELDS}"
    if any(part.startswith("#") for part in fields):
        return "comments are not allowed in a cron text: use the task's `description:`"
    if len(fields) in {6, 7}:
        return f"seconds and years are not supported: {_FIVE_FIELDS}; this has {len(fields)}"
    return f"{_FIVE_FIELDS}; this has {len(fields)}"


def _field_values(spec: _Field, text: str) -> tuple[int, ...]:
    values: set[int] = set()
    for item in text.split(","):
        if not item:
            raise _refusal(spec, text, "an item of the list is empty: remove the extra comma")
        values.update(spec.alias.get(value, value) for value in _item_values(spec, item))
    return tuple(sorted(values))


def _item_values(spec: _Field, item: str) -> range | list[int]:
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        hint = _advice(item) or f"write values ({spec.takes}), `*`, a-b or a-b/n"
        raise _refusal(spec, item, hint)
    first, last, step_text = match.groups()
    step = 1 if step_text is None else int(step_text)
    if step == 0:
        raise _refusal(spec, item, "a step of 0 never moves on: write 1 or more")
    if first is None:
        return range(spec.low, spec.high + 1, step)
    low = _value(spec, first, item)
    if last is None:
        if step_text is not None:
            meant = f"{first}-{spec.high}/{step}"
            raise _refusal(spec, item, f"a step needs a range: write {meant}")
        return [low]
    high = _value(spec, last, item)
    if low <= high:
        return range(low, high + 1, step)
    # A range that wraps counts on through the end of the field: fri-mon is 5, 6, 0, 1.
    low = spec.alias.get(low, low)
    size = spec.high - spec.low + 1 - len(spec.alias)
    end = high if low <= high else high + size
    return [(value - spec.low) % size + spec.low for value in range(low, end + 1, step)]


def _value(spec: _Field, token: str, item: str) -> int:
    if token in spec.names:
        return spec.names[token]
    if not token.isdigit():
        hint = f"{_quote(token)} is not one of {spec.takes}"
        if token[:3] in spec.names and token.isalpha():
            hint = f"names have three letters: write {token[:3]}"
        raise _refusal(spec, item, _advice(item) or hint)
    value = int(token)
    if not spec.low <= value <= spec.high:
        raise _refusal(spec, item, f"out of range: the {spec.name} is {spec.takes}")
    return value


def _advice(item: str) -> str | None:
    return next((advice for pattern, advice in _DIALECTS if pattern.fullmatch(item.lower())), None)


def _refuse_dates_that_never_come(cron: CronExpression, days_text: str, months_text: str) -> None:
    first_day = cron.days_of_month[0]
    longest = max(calendar.monthrange(_LEAP_YEAR, month)[1] for month in cron.months)
    if not cron.either_day and first_day > longest:
        raise CronError(
            f"day-of-month {_quote(days_text)} never comes in month {_quote(months_text)}: the "
            f"longest of these months has {longest} days"
        )


def _refusal(spec: _Field, text: str, advice: str) -> CronError:
    return CronError(f"{spec.name} {_quote(text)}: {advice}")


def _quote(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
