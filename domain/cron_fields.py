"""One field of a cron expression: from its text to values, or to a refusal that teaches."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from domain.month_days import (
    LastDay,
    LastWeekday,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
    SpecialDay,
    in_order,
)

_SHOWN = 40
_MOST_BEFORE = 30
_MOST_OF_A_WEEKDAY = 5


class CronError(ValueError):
    """This is not a crontab(5) expression; the message names the field and what to write."""


@dataclass(frozen=True, slots=True)
class Field:
    """What one field takes: values from `low` to `high`, their names, and special days."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    alias: Mapping[int, int] = field(default_factory=dict)  # a second number for one value
    special: "Callable[[Field, str], SpecialDay | None]" = lambda _spec, _item: None

    @property
    def takes(self) -> str:
        """The values in words, for messages."""
        names = list(self.names)
        words = f" or {names[0]}-{names[-1]}" if names else ""
        return f"{self.low}-{self.high}{words}"


_ITEM = re.compile(r"(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([0-9]+))?")
_DAYS_BEFORE_LAST = re.compile(r"l-([0-9]+)")
_NEAREST = re.compile(r"([0-9]+)w")
_NTH = re.compile(r"([a-z0-9]+)#([0-9]+)")
_LAST_OF = re.compile(r"([0-9]+|[a-z]{3,})l")


def field_values(spec: Field, text: str) -> tuple[tuple[int, ...], tuple[SpecialDay, ...]]:
    """The values of a field and its special days, both sorted; not both are empty.

    Raises CronError, for the first thing that is wrong.
    """
    values: set[int] = set()
    special: set[SpecialDay] = set()
    for item in text.split(","):
        if not item:
            raise _refusal(spec, text, "an item of the list is empty: remove the extra comma")
        if day := spec.special(spec, item):
            special.add(day)
        else:
            values.update(spec.alias.get(value, value) for value in _item_values(spec, item))
    return tuple(sorted(values)), in_order(special)


def quote(text: str) -> str:
    """`text` as a message shows it: on one line and short, whatever it holds."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _item_values(spec: Field, item: str) -> range | list[int]:
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        hint = _advice(spec, item) or f"write values ({spec.takes}), `*`, a-b or a-b/n"
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


def _value(spec: Field, token: str, item: str) -> int:
    if token in spec.names:
        return spec.names[token]
    if not token.isdigit():
        hint = f"{quote(token)} is not one of {spec.takes}"
        if token[:3] in spec.names and token.isalpha():
            hint = f"names have three letters: write {token[:3]}"
        raise _refusal(spec, item, _advice(spec, item) or hint)
    value = int(token)
    if not spec.low <= value <= spec.high:
        raise _refusal(spec, item, f"out of range: the {spec.name} is {spec.takes}")
    return value


def _special_of_month(spec: Field, item: str) -> SpecialDay | None:
    lower = item.lower()
    if lower == "l":
        return LastDay()
    if lower == "lw":
        return LastWorkday()
    if match := _NEAREST.fullmatch(lower):
        return NearestWorkday(_value(spec, match[1], item))
    if match := _DAYS_BEFORE_LAST.fullmatch(lower):
        before = int(match[1])
        if not 1 <= before <= _MOST_BEFORE:
            advice = f"count back 1-{_MOST_BEFORE} days from the last, or write `L`"
            raise _refusal(spec, item, advice)
        return LastDay(before)
    return None


def _special_of_week(spec: Field, item: str) -> SpecialDay | None:
    if match := _NTH.fullmatch(item.lower()):
        weekday, nth = _value(spec, match[1], item), int(match[2])
        if not 1 <= nth <= _MOST_OF_A_WEEKDAY:
            advice = f"a month has no more than {_MOST_OF_A_WEEKDAY} of a weekday: write 1-5 "
            raise _refusal(spec, item, f"{advice}after `#`, or `{match[1]}L` for the last")
        return NthWeekday(spec.alias.get(weekday, weekday), nth)
    if match := _LAST_OF.fullmatch(item.lower()):
        weekday = _value(spec, match[1], item)
        return LastWeekday(spec.alias.get(weekday, weekday))
    return None


_MONTH_NAMES = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAY_NAMES = dict(zip(("sun", "mon", "tue", "wed", "thu", "fri", "sat"), range(7), strict=True))
FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day-of-month", 1, 31, special=_special_of_month),
    Field("month", 1, 12, _MONTH_NAMES),
    Field("day-of-week", 0, 7, _DAY_NAMES, {7: 0}, special=_special_of_week),
)
"""The fields of a cron expression in the order of its text."""

# What may stand in a range, and the special days, which may not.
_PLAIN = r"(?:\*|[0-9]+|[a-z]{3})"
_OF_MONTH = r"(?:l|lw|[0-9]+w)"
_OF_WEEK = r"(?:(?:[0-9]+|[a-z]{3})(?:l|#[0-9]+))"
_SPECIAL = rf"(?:{_OF_MONTH}|{_OF_WEEK})"

_MONTH = ("day-of-month",)
_WEEK = ("day-of-week",)
_ANY = ("minute", "hour", "month", *_MONTH, *_WEEK)

# Tried in order on an item that its field does not take: (fields, pattern of the item, advice).
_ADVICE = tuple(
    (fields, re.compile(pattern), advice)
    for fields, pattern, advice in (
        (_ANY, r".*\?.*", "`?` is not crontab: write `*`"),
        (_ANY, r".*~.*", "`~` (a random value) is not supported: write a value and use `stagger:`"),
        (_ANY, r"h\b.*", "`H` (a hashed value) is not supported: write a value and use `stagger:`"),
        (
            _WEEK,
            r"l",
            "`L` alone is Saturday in one cron and the last day of the month in another: "
            "write 6, 6L (the last Saturday of the month), or `L` in day-of-month",
        ),
        (
            _MONTH,
            r"[0-9]+-l",
            "to the end of the month is up to 31, as in 15-31: days that a month lacks do not come",
        ),
        (_MONTH, r"wl", "the last weekday (Monday to Friday) of the month is written `LW`"),
        (_MONTH, r"w|w[0-9]+", "the day stands before the `W`: write 15W, or `LW` for the last"),
        (
            _WEEK,
            r"l(?:[0-7]|[a-z]{3})|(?:[0-7]|[a-z]{3})#(?:l|-[0-9]+)",
            "the last one of the month is written with `L` after the weekday: 5L or friL",
        ),
        (
            _ANY,
            rf"{_OF_MONTH}|l-[0-9]+",
            "`L`, `LW`, `15W` and `L-3` go into day-of-month, the third field",
        ),
        (
            tuple(name for name in _ANY if name not in _WEEK),
            _OF_WEEK,
            "`5L` and `5#2` go into day-of-week, the fifth field",
        ),
        (
            _ANY,
            rf"{_SPECIAL}(?:-(?:{_SPECIAL}|{_PLAIN}))?/.*|{_SPECIAL}-(?:{_SPECIAL}|{_PLAIN})"
            rf"|{_PLAIN}-{_SPECIAL}(?:/.*)?",
            "`L`, `W` and `#` name single days, without range or step: list them, as in 15W,16W",
        ),
        (
            _WEEK,
            r"(?:\W*|\w{1,3})#.*",
            "write the weekday, `#` and which one of the month, 1-5: 5#2",
        ),
        (_ANY, r"[-+]\d.*", "signs are not allowed"),
    )
)


def _advice(spec: Field, item: str) -> str | None:
    for fields, pattern, advice in _ADVICE:
        if spec.name in fields and pattern.fullmatch(item.lower()):
            return advice
    return None


def _refusal(spec: Field, text: str, advice: str) -> CronError:
    return CronError(f"{spec.name} {quote(text)}: {advice}")
