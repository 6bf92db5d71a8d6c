"""Descriptions: chosen sentences word by word, and exactness over generated expressions."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendars import Calendar, compile_cron
from domain.cron import parse_cron
from domain.describe import describe_cron
from tests.domain.test_cron import cron_texts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/7 * * * *", "At minutes 0, 7, 14, ..., 56 past the hour"),
        ("0 * * * *", "Every hour, on the hour"),
        ("*/90 * * * *", "Every hour, on the hour"),
        ("1 * * * *", "Every hour at 1 minute past"),
        ("5,35 * * * *", "At minutes 5 and 35 past the hour"),
        ("0-30 * * * *", "At minutes 0 to 30 past the hour"),
        ("10-50/10 * * * *", "At minutes 10, 20, 30, 40 and 50 past the hour"),
        ("0 2 * * *", "At 02:00, every day"),
        ("0 2 * * 1-7", "At 02:00, every day"),
        ("0 2 1-31 * 1", "At 02:00, every day"),
        ("0 */4 * * *", "Every 4 hours from 00:00"),
        ("30 1-23/2 * * *", "Every 2 hours from 01:30"),
        ("0 */12 * * *", "At 00:00 and 12:00, every day"),
        ("0 */7 * * *", "At 00:00, 07:00, 14:00 and 21:00, every day"),
        ("0 22-2 * * *", "Every hour from 22:00 to 02:00"),
        ("*/15 22-2 * * *", "Every 15 minutes, from 22:00 to 02:45"),
        (
            "*/15 22-2 * * 5",
            "Every 15 minutes, from 00:00 to 02:45 and from 22:00 to 23:45, on Friday",
        ),
        ("*/15 9-17 * * mon-fri", "Every 15 minutes, from 09:00 to 17:45, on Monday to Friday"),
        ("* 9 * * *", "Every minute, from 09:00 to 09:59"),
        ("*/10 */2 * * *", "Every 10 minutes, during hours 0, 2, 4, ..., 22"),
        ("0 0 * * 5-7", "At 00:00, on Friday to Sunday"),
        ("0 0 * * fri-mon", "At 00:00, on Friday to Monday"),
        ("0 0 * * 7", "At 00:00, on Sunday"),
        ("0 0 * nov-feb *", "At 00:00, every day in November to February"),
        ("0 0 25 12 *", "At 00:00, on 25 December"),
        ("0 0 29 2 *", "At 00:00, on 29 February"),
        ("0 0 1 1,7 *", "At 00:00, on day 1 of the month, in January and July"),
        ("30 4 1,15 * 5", "At 04:30, on days 1 and 15 of the month or on Friday"),
        ("0 0 25 12 mon", "At 00:00, on day 25 of the month or on Monday, in December"),
        ("0 0 */2 * 1", "At 00:00, on days 1, 3, 5, ..., 31 of the month when that is Monday"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 L 12 *", "At 00:00, on the last day of the month, in December"),
        ("0 0 L-1 * *", "At 00:00, on the day before the last day of the month"),
        ("0 0 L-3 * *", "At 00:00, on the day 3 days before the last day of the month"),
        ("0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month"),
        (
            "0 0 15W 3 *",
            "At 00:00, on the weekday (Monday to Friday) nearest to day 15 of the month, in March",
        ),
        ("0 0 L,15,1 * *", "At 00:00, on days 1 and 15 and the last day of the month"),
        ("0 0 * * 5#2", "At 00:00, on the second Friday of the month"),
        ("0 0 * * 7#5", "At 00:00, on the fifth Sunday of the month"),
        ("0 0 * * friL", "At 00:00, on the last Friday of the month"),
        ("0 0 * * 5L,mon", "At 00:00, on Monday and the last Friday of the month"),
        ("0 0 * * 3#3,1#1", "At 00:00, on the first Monday and the third Wednesday of the month"),
        (
            "0 0 13,L * 1-3,5L",
            "At 00:00, on day 13 and the last day of the month or on Monday to Wednesday"
            " or the last Friday of the month",
        ),
        (
            "0 0 */2 * 5#2",
            "At 00:00, on days 1, 3, 5, ..., 31 of the month"
            " when that is the second Friday of the month",
        ),
        ("0 0 1-31,L * 5", "At 00:00, every day"),
        ("0 2 L * 0-6", "At 02:00, every day"),
        (
            "0 0 1-7 * */2",
            "At 00:00, on days 1 to 7 of the month when that is Tuesday, Thursday, Saturday"
            " or Sunday",
        ),
    ],
)
def test_sentences(text: str, sentence: str) -> None:
    """Typical and awkward expressions read as a careful person would say them."""
    assert describe_cron(parse_cron(text)) == sentence


def _meaning(text: str) -> tuple[Calendar, ...]:
    return tuple(replace(calendar, comment="") for calendar in compile_cron(parse_cron(text)))


@settings(deadline=None, max_examples=10)
@given(st.lists(cron_texts(), min_size=10, max_size=20))
def test_a_description_says_everything(texts: list[str]) -> None:
    """Two expressions share a description only if their calendars are the same."""
    meanings: dict[str, tuple[Calendar, ...]] = {}
    for text in texts:
        sentence = describe_cron(parse_cron(text))
        assert meanings.setdefault(sentence, _meaning(text)) == _meaning(text)
        assert "  " not in sentence
        assert not sentence.endswith((".", ",", " "))


def test_a_description_says_everything_of_similar_expressions() -> None:
    """The same over combinations of fields that are easily confused: all times, and all days."""
    minutes = ["*", "0", "5", "*/15", "0,30", "0-30", "1-59/2", "*/7"]
    hours = ["*", "0", "9-17", "22-2", "0-22", "1-23", "*/2", "1-23/2", "*/12", "0,9,10,15"]
    days = ["*", "1", "*/2", "1-31", "1-7", "L", "15W", "1,LW", "L-1,15"]
    weekdays = ["*", "1", "1-5", "fri-mon", "*/2", "0-6", "0,1", "1L", "5,1#1", "1#1,5#1"]
    months = ["*", "1", "nov-feb"]
    times = [f"{minute} {hour}" for minute in minutes for hour in hours]
    dates = [f"{day} {month} {week}" for day in days for month in months for week in weekdays]
    few_dates = ["* * *", "1 * *", "* 1 *", "* * 1", "1-31 * 1-5", "L * *"]
    few_times = ["* *", "0 0", "*/15 22-2", "0 22-2", "5 9-17", "0,30 0"]
    texts = [f"{time} {date}" for time in times for date in few_dates]
    texts += [f"{time} {date}" for time in few_times for date in dates]
    meanings: dict[str, tuple[Calendar, ...]] = {}
    for text in texts:
        sentence = describe_cron(parse_cron(text))
        assert meanings.setdefault(sentence, _meaning(text)) == _meaning(text), sentence
