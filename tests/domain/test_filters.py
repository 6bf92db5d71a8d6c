"""Filters: what they see of an event, how they fail, and that none that is accepted is slow."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import process_time

import pytest
from pydantic import JsonValue

from domain.events_in import CloudEvent
from domain.filters import FilterFailed, Seen, compile_filter

_ORDER: JsonValue = {
    "amount": 150,
    "rate": 0.5,
    "region": "eu",
    "note": None,
    "tags": ["gold", "new"],
    "items": [{"sku": "A-1", "price": 10, "count": 3}, {"sku": "B-7", "price": 99, "count": 1}],
    "type": "inner",
}
_AT = datetime(2027, 1, 1, 2, 0, tzinfo=UTC)


def event_of(data: JsonValue = None, **attributes: object) -> CloudEvent:
    said: dict[str, object] = {"id": "e-1", "source": "/shop", "type": "order.created"}
    return CloudEvent(data=data, **(said | attributes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("data.amount > 100", True),
        ("data.amount > 100.5 && data.rate < 1", True),
        ("data.amount == 150.0", True),
        ("data.region in ['us', 'ca']", False),
        ("'gold' in data.tags", True),
        ("has(data.coupon) && data.coupon == 'x'", False),
        ("data.note == null", True),
        ("data.items.exists(i, i.price * i.count > 50 && i.sku.startsWith('B-'))", True),
        ("data.items.all(i, i.count < 3)", False),
        ("data.items.exists_one(i, i.count == 3)", True),
        ("['A-', 'C-'].exists(start, data.items[0].sku.startsWith(start))", True),
        ("id == 'e-1' && source == '/shop' && type == 'order.created'", True),
        ("data.type == 'inner'", True),
        ("subject.startsWith('orders/')", True),
        ("time > timestamp('2026-12-31T23:59:59Z') && time.getFullYear() == 2027", True),
        ("extensions.partition == 7 && extensions['urgent']", True),
        ("has(extensions.colour)", False),
        ("data.region.matches('^[a-z]{2}$')", True),
        ("'9a5d8b9e-7c1f-4b7e-9d3a-2f4c6e8a0b1d'.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-')", True),
        ("'Order-17'.matches('(?i)^order-\\\\d{1,9}$')", True),
        ("true", True),
    ],
)
def test_a_filter_sees_the_whole_event(text: str, wanted: bool) -> None:
    """Attributes, extensions and data, with the functions and macros of CEL."""
    extensions = {"partition": 7, "urgent": True}
    event = event_of(_ORDER, subject="orders/1", time=_AT, extensions=extensions)
    assert compile_filter(text).matches(event) is wanted


def test_what_an_event_does_not_say_is_empty() -> None:
    """No subject is empty text, no data is null; binary data is not seen."""
    event = event_of(data_base64="AAAA")
    assert compile_filter("subject == '' && data == null").matches(event)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("data.amount >", "not valid CEL, column 14: Syntax error"),
        ("data.amount > 1 &&\n amount > 2", "line 2, column 2: 'amount' is not known"),
        ("data.tags.map(t)", "not valid CEL, column 15: 't' is not known"),
        ("1 + 'a' == 2", "column 3: found no matching overload"),
        ("type == 5", "column 6: found no matching overload"),
        ("data.amount + 1", "gives int, and a filter gives true or false"),
        ("'yes'", "gives string, and a filter gives true or false"),
        ("x" * 4097, "4097 characters: a filter has 4096 at most"),
        ("(" * 40 + "true" + ")" * 40, "nested deeper than 32 levels"),
        ("data" + ".a" * 200 + " == 1", "nested deeper than 32 levels"),
        ("   ", "not valid CEL, column 4"),
        ("data.s.matches('a(b')", "the pattern 'a(b' of `matches`: invalid regular expression"),
        ("'\ud800' == data", "not valid CEL"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, mistake: str) -> None:
    """What does not compile is refused with a sentence."""
    with pytest.raises(ValueError, match=r"^[a-zA-Z0-9]") as refusal:
        compile_filter(text)
    assert mistake in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "data", "reason"),
    [
        ("data.amount > 1", {}, 'the event has no "amount"'),
        ("data.a.b > 1", {"a": 3}, "a value without fields"),
        ("data.amount > 1", None, "a value without fields"),
        ("data.amount > 1", {"amount": "7"}, "'>' does not go with (string, int64)"),
        ("data.amount + 1 > 0", {"amount": 2**63 - 1}, "integer overflow"),
        ("data.amount > 1", {"amount": 2**70}, "out of range"),
        ("1 / data.amount > 0", {"amount": 0}, "divide by zero"),
        ("data.tags[5] == 'x'", {"tags": []}, "index=5 size=0"),
        ("data.flag", {"flag": 1}, "it gives int, and a filter gives true or false"),
        ("data.flag", {"flag": None}, "it gives null"),
        ("time > timestamp('2020-01-01T00:00:00Z')", {}, "the event has no time"),
        ("timestamp(data.at) > time", {"at": "noon"}, "Timestamp"),
        ("data.all(i, i > 0)", list(range(1, 20_000)), "looks at 10000 items at most"),
    ],
)
def test_a_filter_that_has_no_answer_fails(text: str, data: JsonValue, reason: str) -> None:
    """Missing fields, wrong types, overflow: said, and never taken for no or yes."""
    with pytest.raises(FilterFailed) as failure:
        compile_filter(text).matches(event_of(data))
    assert reason in str(failure.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.a.map(x, x).size() > 0", "`map` and `filter` cost too much"),
        ("data.a.filter(x, x > 1).size() > 0", "use all, exists or exists_one"),
        ("data.a.exists(x, x in data.b)", "`in` on a value from outside"),
        ("data.a.all(x, data.b == data.c)", "`==` on a value from outside"),
        ("data.a.all(x, data.s + 'x' == x)", "`+` on a value from outside"),
        ("data.a.all(x, data.s.contains('x'))", "`contains` on a value from outside"),
        ("data.a.all(x, size(data.s) > 1)", "`size` on a value from outside"),
        ("data.a.all(x, data.b[data.s] > 1)", "`[]` on a value from outside"),
        ("data.a.all(x, {data.s: 1} == {})", "`{}` on a value from outside"),
        ("data.a.all(x, data.b.all(y, x == y))", "a loop on a value from outside"),
        ("data.a.all(x, ['a'].all(y, y in data.b))", "`in` on a value from outside"),
        ("data.a.all(x, x.matches('a'))", "`matches` within all"),
        ("data.s.matches(data.p)", "needs its pattern as text in quotes"),
        ("data.s.matches('(a{1,50}){5}')", "200 steps at most, and this has 250"),
        ("data.s.matches('((x|yz){5}(?:a{3,}){2}){10}')", "and this has 260"),
        ("data.s.matches('[a-z\\\\]]{201}')", "and this has 201"),
        ("data.s.matches('\\\\pL{11}')", "and this has 220"),
        ("data.s.matches('[^\\\\p{Greek}x]{11}')", "and this has 220"),
        ("data.s.matches('(?i)a{101}')", "and this has 202"),
        ("data.s.matches('a{0,1000}{0,1000}')", "200 steps at most"),
        (f"data.a.all(x, x != '{'a' * 1000}')", "50 are the most"),
        (f"data.s.matches('{'a' * 201}')", "200 characters at most"),
        ("data.a.all(x, " + " && ".join(["x > 1"] * 20) + ")", "50 are the most"),
        (" && ".join(["data.a == data.b"] * 11), "110 points of 100"),
        (f"[{','.join(['data.a'] * 11)}].all(x, x == data.a)", "110 points of 100"),
        (f"[{','.join(['data.a'] * 11)}] == [{','.join(['data.b'] * 11)}]", "110 points of 100"),
        (" || ".join(["data.s.matches('a')"] * 6), "120 points of 100"),
    ],
)
def test_a_filter_that_could_take_long_is_refused(text: str, reason: str) -> None:
    """Each of these is a multiple of an event's size, or builds lists."""
    with pytest.raises(ValueError, match=r"cost|steps|characters|quotes") as refusal:
        compile_filter(text)
    assert reason in str(refusal.value)


_RECORDS: JsonValue = [{"a": 1}] * 8000
_UMLAUTS = "\u00e4" * 30_000


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.all(i, " + " && ".join(["i.a < 2"] * 9) + ")", _RECORDS),
        (f"data.all(i, !(i in [{','.join(map(str, range(42)))}]))", list(range(99, 9_999))),
        (" && ".join(["!(data != data)"] * 10), _RECORDS),
        (" && ".join(["!([1] in data)"] * 20), [0.5] * 15_000),
        (f"[{','.join(['data'] * 10)}].all(x, x == data)", _RECORDS),
        ("data.exists(a, a.exists(b, b.exists(c, c > 1)))", [[[1]]] * 3_000),
        (" || ".join(["data.matches('(.{0,100})b')"] * 5), _UMLAUTS),
        (" || ".join(["data.matches('(\\\\pL{1,9})b')"] * 2), _UMLAUTS),
        (" || ".join(["data.matches('" + "(\\\\pL?\\\\pN?.?)*" * 4 + "b')"] * 2), _UMLAUTS),
        (f"data.all(i, !'{'a' * 400}'.contains('{'a' * 200}b'))", _RECORDS),
        (" || ".join(["data[0].contains(data[1])"] * 5), ["a" * 31_000, "a" * 31_000 + "b"]),
        (" || ".join(["size(data + 'b') == 1"] * 30), _UMLAUTS),
    ],
)
def test_no_accepted_filter_is_slow(text: str, data: JsonValue) -> None:
    """The worst that is let through, on events of 64 KiB: tenths of a second, never seconds."""
    compiled, seen = compile_filter(text), Seen(event_of(data))
    began = process_time()
    compiled.matches(seen)
    assert process_time() - began < 1.0


def test_an_ordinary_filter_takes_a_fraction_of_a_millisecond() -> None:
    """Once an event is converted, its filters cost next to nothing."""
    compiled, seen = (
        compile_filter("data.amount > 100 && data.region == 'eu'"),
        Seen(event_of(_ORDER)),
    )
    began = process_time()
    for _ in range(1000):
        assert compiled.matches(seen)
    assert process_time() - began < 1.0


def test_threads_may_share_a_filter() -> None:
    """One compiled filter and one event in several threads: the same answers."""
    compiled, seen = compile_filter("data.items.exists(i, i.price == 99)"), Seen(event_of(_ORDER))
    ask: Callable[[int], bool] = lambda _: compiled.matches(seen)  # noqa: E731
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(400))) == {True}


def test_the_library_is_loaded_by_the_first_filter() -> None:
    """A process that has no filters does not pay for them."""
    program = (
        "import sys, domain.rules, domain.registration\n"
        "assert 'cel_expr_python' not in sys.modules\n"
        "from domain.filters import compile_filter\n"
        "compile_filter('true')\n"
        "assert 'cel_expr_python' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
