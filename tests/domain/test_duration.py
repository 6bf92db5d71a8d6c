"""Durations: text with units in, the same length out."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.duration import Duration, format_duration, parse_duration

_LENGTHS = st.integers(0, 3660 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("250ms", 0.25),
        ("90s", 90),
        ("1h30m", 5400),
        ("1d2h3m4s5ms", 93784.005),
        ("3660d", 316_224_000),
        (" 5m ", 300),
        ("007s", 7),
    ],
)
def test_text_reads_as_its_length(text: str, seconds: float) -> None:
    """Each unit counts as what it says, alone and together."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "s", "-5s", "+5s", "1.5h", "5 m", "5M", "5min", "PT5M", "1h,30m"),
        *("\u0663s", "5s\n5s", "5s\0", "9" * 50 + "d", "NaNs", "1e3s"),
    ],
)
def test_what_is_no_duration_is_refused_with_advice(text: str) -> None:
    """The refusal shows what to write instead."""
    with pytest.raises(ValueError, match="such as 30s, 15m, 1h30m or 7d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["30m1h", "1m1m", "5ms5s"])
def test_units_stand_once_and_largest_first(text: str) -> None:
    """A repeated or disordered unit is more likely a slip than a sum."""
    with pytest.raises(ValueError, match="repeats or disorders"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3661d", "99999999999999999999d", "316224001s"])
def test_more_than_ten_years_is_refused(text: str) -> None:
    """A length that no timer holds is refused and does not overflow."""
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration(text)


@given(_LENGTHS)
def test_every_length_reads_back_from_its_text(length: timedelta) -> None:
    """Formatting and parsing are inverse, in Python and through JSON."""
    assert parse_duration(format_duration(length)) == length
    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    assert adapter.validate_json(adapter.dump_json(length)) == length
    assert adapter.dump_python(length) == length


@given(st.text())
def test_any_text_is_a_length_or_a_plain_refusal(text: str) -> None:
    """No text leads to anything but a bounded length or a ValueError."""
    try:
        length = parse_duration(text)
    except ValueError:
        return
    assert timedelta(0) <= length <= timedelta(days=3660)


@pytest.mark.parametrize("value", [30, 1.5, True, None, [], {"s": 3}])
def test_values_without_units_are_refused(value: object) -> None:
    """A bare number could be seconds or minutes: it is refused."""
    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    with pytest.raises(ValidationError, match="is not a duration"):
        adapter.validate_python(value)
