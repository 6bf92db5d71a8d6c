"""Filters made by a grammar of CEL and spoiled: refused soon, or quick on any event."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from domain.events_in import CloudEvent
from domain.filters import FilterFailed, Seen, compile_filter
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import spoiled

_COMPILING, _MATCHING = 1.0, 1.5
"""Seconds of the processor."""

_OUTSIDE = ("data", "data.a", "data.b", "data.s", "data.n", "data.a[0]", "data['b']", "dyn(type)")
_LITERALS = st.sampled_from(
    (
        *(
            "1",
            "0",
            "-1",
            "1u",
            "1.5",
            "9223372036854775807",
            "0x7f",
            "'a'",
            "r'\\d'",
            "b'a'",
            "null",
        ),
        *("true", "[]", "[1, 2]", "{}", "{'a': 1}", "timestamp('2027-01-01T00:00:00Z')", "type(1)"),
        *(
            "duration('1h')",
            "'\\x00'",
            "[[1], ['a']]",
            "9223372036854775808",
            "1e400",
            f"'{'a' * 300}'",
        ),
    )
)
_PATTERNS = st.sampled_from(
    (
        *("a", "^a+$", "(a+)+b", "(a|aa)*b", "a{1,50}", "(a{1,30}){5}", "[^\\\\p{L}]{3}", "(?i)x*"),
        *(
            "\\\\b",
            "(",
            "a**",
            "(?P<n>a)",
            "\\\\pL{9}b",
            "(.*)(.*)(.*)b",
            "[[:alpha:]]+",
            "a{0,1000}",
        ),
    )
)
_COMPARING = st.sampled_from(("==", "!=", "<", ">=", ">"))
_LOOPS = st.sampled_from(("all", "exists", "exists_one", "all", "exists", "map", "filter"))
_TESTS = st.sampled_from(("startsWith", "endsWith", "contains"))
_MADE = (
    "size({})",
    "string({})",
    "int({})",
    "({} + {})",
    "({} - 1)",
    "{}[0]",
    "{}.a",
    "-{}",
    "[{}]",
)


def _conditions(*names: str) -> st.SearchStrategy[str]:
    """What is true or false of values by these names."""
    named = st.sampled_from(names)
    value = named | st.builds(
        lambda form, *of: form.format(*of), st.sampled_from(_MADE), named, named
    )
    atoms = st.one_of(
        st.builds("{} {} {}".format, value, _COMPARING, value | _LITERALS),
        st.builds("{} in {}".format, value | _LITERALS, named),
        st.builds("{}.{}({})".format, value, _TESTS, value | st.just("'a'")),
        st.builds("{}.matches('{}')".format, named, _PATTERNS),
        st.sampled_from(
            ("has(data.a)", "subject == 'aaa'", "time > timestamp(0)", "extensions.x == 1")
        ),
    )
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds("({} && {})".format, inner, inner),
            st.builds("({} || {})".format, inner, inner),
            st.builds("!({})".format, inner),
            st.builds("({} ? {} : {})".format, inner, inner, inner),
        ),
        max_leaves=6,
    )


_LISTS = st.sampled_from((*_OUTSIDE, "['a', 'b']", "[data.a, data.b]", "[1, 2, 3]"))
_ONE_LOOP = st.builds(
    "{}.{}(x, {})".format, _LISTS, _LOOPS, _conditions("x", "x", "x.a", "x[0]", "data.b")
)
_TWO_LOOPS = st.builds(
    "{}.{}(x, {}.{}(y, {}))".format,
    *(_LISTS, _LOOPS, st.sampled_from(("x", "x.a", "x[0]", "data.a", "[x, 1]")), _LOOPS),
    _conditions("x", "y", "y", "y.a"),
)
_EXPRESSIONS = st.one_of(_conditions(*_OUTSIDE), _ONE_LOOP, _TWO_LOOPS)
_CHAINS = st.builds(
    lambda one, sign, count: f" {sign} ".join([one] * count),
    _EXPRESSIONS,
    st.sampled_from(("&&", "||", "==")),
    st.sampled_from((2, 5, 10, 50)),
)
_WORDS = (
    "data",
    ".a",
    "(",
    ")",
    "&&",
    "'",
    "'a'",
    "[",
    "]",
    ".all(x, ",
    "matches",
    "{",
    "\\",
    "//",
)
_TEXTS = st.one_of(_EXPRESSIONS, _CHAINS, spoiled(_EXPRESSIONS | _CHAINS, _WORDS))
_DATA: tuple[JsonValue, ...] = (
    None,
    {"a": 1, "b": "a", "s": "a" * 30_000, "n": None},
    {"a": [*range(9_000)], "b": ["x"] * 9_000, "s": "\u00e4" * 9_000, "n": 2**70},
    [{"a": [1]}] * 5_000,
    [[[1]]] * 3_000,
)
_EVENTS = tuple(Seen(CloudEvent("e", "/s", "t", subject="aaa", data=data)) for data in _DATA)


@effort(72)
@given(text=_TEXTS)
def test_a_filter_is_refused_with_a_sentence_or_quick(text: str) -> None:
    """No text breaks the library, and none that is taken is slow on events of 64 KiB."""
    with within(_COMPILING):
        try:
            compiled = compile_filter(text)
        except ValueError as refusal:
            is_told(refusal)
            return
    for event in _EVENTS:
        with within(_MATCHING):
            try:
                assert compiled.matches(event) in (True, False)
            except FilterFailed as failure:
                is_told(failure)
