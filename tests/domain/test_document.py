"""Reading YAML and JSON: plain values with their lines, and none of YAML's surprises."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.document import MAX_DEPTH, Document, parse_json, parse_yaml
from domain.problems import InvalidInput, Problem

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_KEY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # YAML has no way to write a few control characters that JSON has
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn", "Co"])),
    # and a key longer than 1,024 characters, escaped, has to be marked as one in YAML
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=20,
)


def _problems(text: str, *, as_json: bool = False) -> list[Problem]:
    with pytest.raises(InvalidInput) as refusal:
        parse_json(text) if as_json else parse_yaml(text)
    return list(refusal.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("2027-01-01", "2027-01-01"),
        ("2027-01-01T02:00:00+08:00", "2027-01-01T02:00:00+08:00"),
        ("2027-01-01 02:00:00", "2027-01-01 02:00:00"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("0o10", "0o10"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("15m", "15m"),
        ("=", "="),
        ("1e3", 1000.0),
        ("-12", -12),
        ("0", 0),
        ("1.", 1.0),
        ("~", None),
        ("null", None),
        ("yes", True),
        ("off", False),
        ("'12'", "12"),
        ('"null"', "null"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("|-\n  12", "12"),
        ("<<", "<<"),
    ],
)
def test_scalars_mean_what_a_reader_expects(text: str, value: object) -> None:
    """Times and clock readings stay text, and only JSON's own kinds of values come out."""
    found = parse_yaml(f"a: {text}").data["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".nan", "nan is not a JSON number"),
        ("-.inf", "-inf is not a JSON number"),
        ("1e999", "inf is not a JSON number"),
        ('"\\0"', "NUL"),
        ("!!timestamp 2027-01-01", "tag tag:yaml.org,2002:timestamp is not supported"),
        ("!!binary aGk=", "tag tag:yaml.org,2002:binary is not supported"),
        ("!!python/object/apply:os.system ['true']", "is not supported"),
        ("!!set {a: 1}", "tag tag:yaml.org,2002:set is not supported"),
        ("!secret x", "tag !secret is not supported"),
        ("!!int x", "'x' is no int of YAML"),
        ("!!bool maybe", "'maybe' is no bool of YAML"),
        ("!!null x", "'x' is no null of YAML"),
        ("&here 1\nc: *here", "aliases are not supported"),
        ("{[1, 2]: x}", "a key must be text"),
        ("{? {b: 1} : x}", "a key must be text"),
        ("[1, 2", "not valid YAML"),
        ("'x", "not valid YAML"),
        ("\t- x", "not valid YAML"),
        ('"\\uD800"', "not valid YAML"),
        ("9" * 5000, "is no int of YAML"),
    ],
)
def test_yaml_beyond_json_is_refused_with_its_line(text: str, message: str) -> None:
    """What JSON cannot say does not come in by YAML, and the refusal names the place."""
    problem = _problems(f"first: 1\na: {text}\n")[0]
    assert message in problem.message
    assert problem.line in (2, 3)


def test_all_problems_of_a_document_come_at_once() -> None:
    """Repeated keys, NUL and numbers that are none are told together, each with path and line."""
    text = 'a: 1\nb:\n  - x: .nan\n  - x: "\\0"\na: 2\nc: {d: 1, d: 2}\n'
    assert [(p.where, p.line) for p in _problems(text)] == [
        ("b[0].x", 3),
        ("b[1].x", 4),
        ("a", 5),
        ("c.d", 6),
    ]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_an_empty_document_is_refused(text: str) -> None:
    """A file that says nothing is a mistake, not an empty registration."""
    assert "empty" in _problems(text)[0].message


def test_a_second_document_is_refused() -> None:
    """What stands after `---` is not silently left out."""
    problem = _problems("a: 1\n---\nb: 2\n")[0]
    assert ("more than one YAML document" in problem.message, problem.line) == (True, 2)


@pytest.mark.parametrize("text", ["a\0b", "a: \ud800", "a: \x07"])
def test_unreadable_characters_are_refused(text: str) -> None:
    """Raw control characters and lone surrogates end in a refusal and not in a crash."""
    assert _problems(text)


_DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "as_json"),
    [
        ("[" * _DEEP, False),
        ("{a: " * _DEEP, False),
        ("- " * _DEEP, False),
        ("? " * _DEEP, False),
        ("[" * _DEEP + "]" * _DEEP, True),
        ('{"a":' * _DEEP + "1" + "}" * _DEEP, True),
    ],
)
def test_deep_nesting_is_refused_and_crashes_nothing(text: str, *, as_json: bool) -> None:
    """A hundred thousand levels cost a message."""
    assert _problems(text, as_json=as_json)


@pytest.mark.parametrize("as_json", [True, False])
def test_nesting_is_allowed_to_its_limit(*, as_json: bool) -> None:
    """As many levels as promised pass, one more does not."""
    parse = parse_json if as_json else parse_yaml
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH).data
    most = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert f"deeper than {MAX_DEPTH}" in _problems(most, as_json=as_json)[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "nan is not a JSON number"),
        ('{"a": -Infinity}', "-inf is not a JSON number"),
        ('{"a": 1e999}', "inf is not a JSON number"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": 1', "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": 1} 2', "not valid JSON"),
        ("", "not valid JSON"),
        ("9" * 5000, "too many digits"),
    ],
)
def test_json_is_held_to_the_same_rules(text: str, message: str) -> None:
    """JSON that other systems choke on is refused at the door."""
    assert message in _problems(text, as_json=True)[0].message


def test_json_that_is_no_utf8_is_refused() -> None:
    """Bytes of another encoding are refused as what they are."""
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse_json(b'{"a": "\xff"}')


def test_what_cannot_be_shown_is_in_no_path() -> None:
    """Below a key with half of a character nothing is looked at: its path could not be told."""
    problems = _problems('{"\\ud800": ["\\ud800"], "a": "\\u0000"}', as_json=True)
    assert [p.where for p in problems] == ["", "a"]


@given(_JSON)
def test_json_reads_the_same_by_both_readers(value: Any) -> None:
    """Every JSON value comes out of both readers as it went in."""
    text = json.dumps(value)
    assert parse_json(text).data == value
    if all(ord(char) < 0x10000 for char in json.dumps(value, ensure_ascii=False)):
        assert _same(parse_yaml(text).data, value)  # YAML has no surrogate pairs


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text leads to anything but a document or `InvalidInput`."""
    for parse in (parse_yaml, parse_json):
        with suppress(InvalidInput):
            assert isinstance(parse(text), Document)


def test_lines_are_those_of_the_file() -> None:
    """Each path has its line, and what has none takes that of the nearest thing around it."""
    document = parse_yaml("tasks:\n  - a: 1\n    b:\n      c: 2\n  - a: 3\n")
    lines = [("tasks",), ("tasks", 0), ("tasks", 0, "b", "c"), ("tasks", 1, "a"), ("tasks", 1, "z")]
    assert [document.line_of(path) for path in lines] == [1, 2, 4, 5, 5]
    assert parse_json('{"a": 1}').line_of(("a",)) is None
