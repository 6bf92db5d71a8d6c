"""Texts that are nearly right: what a grammar makes, spoiled in a few places."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = (
    *("", " ", "\t", "\n", "\r\n", "\0", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\u202e"),
    *("\u00e9", "\u0663", "\uff11", "\u00b2", "\U0001f600", "null", "true", "~", "-", "--", "%00"),
    *("0", "-0", "-1", "1e5", "1e999", ".5", "9" * 20, "9" * 5000, "0x1f", "NaN", "Infinity"),
    *("{", "}", "[", "]", ",", ":", '"', "'", "\\", "\\u0000", "\\ud800", "#", "&a", "*a", "!!int"),
    *("<<", "|", ">", "?", "---", "...", "%YAML 1.2\n", "../", "://", "{{", "${x}", ";", "="),
)
"""What goes wrong elsewhere: other writings of nothing, of numbers, of ends and beginnings."""

LONG = (50, 1000, 20_000)


@st.composite
def spoiled(draw: st.DrawFn, texts: st.SearchStrategy[str], words: Sequence[str] = ()) -> str:
    """One of the texts, changed in up to three places; now and then as it is."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        text = _changed(draw, text, words)
    return text


def _changed(draw: st.DrawFn, text: str, words: Sequence[str]) -> str:
    start = draw(st.integers(0, len(text)))
    end = min(len(text), start + draw(st.sampled_from((0, 1, 1, 2, 5, 20))))
    odd = st.sampled_from(ODD_TEXTS)
    new = st.one_of(odd, st.sampled_from(tuple(words)), odd) if words else odd
    match draw(st.sampled_from(("put", "put", "drop", "twice", "many", "case", "swap"))):
        case "put":
            return text[:start] + draw(new) + text[end:]
        case "drop":
            return text[:start] + text[end:]
        case "twice":
            return text[:end] + text[start:]
        case "many":
            return (
                text[:start] + (text[start:end] or " ") * draw(st.sampled_from(LONG)) + text[end:]
            )
        case "case":
            return text[:start] + text[start:end].swapcase() + text[end:]
        case _:
            other = draw(st.integers(0, len(text)))
            return text[:start] + text[other : other + end - start] + text[end:]


@st.composite
def spoiled_bytes(
    draw: st.DrawFn, texts: st.SearchStrategy[str], words: Sequence[str] = ()
) -> bytes:
    """The same as bytes, in UTF-8 as a rule, and perhaps with bytes that are no text."""
    text = draw(spoiled(texts, words))
    coding = draw(st.sampled_from(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32", "latin-1")))
    body = text.encode(coding, "surrogatepass" if coding.startswith("utf") else "replace")
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.sampled_from(_ODD_BYTES)) + body[at + 1 :]
    return body


_ODD_BYTES = (b"", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\xf5", b"\x80", b"\r")

ODD_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.none() | st.booleans(),
    st.sampled_from((0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-320)),
    st.sampled_from(([], {}, [[]], {"": None}, [None], {"a": {"b": []}})),
)
"""Values where others were due; all of them JSON."""


@st.composite
def warped(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """One of the values, with up to two of its parts replaced, left out, renamed or repeated."""
    value = draw(values)
    for _ in range(draw(st.integers(0, 2))):
        value = _warp(draw, value)
    return value


def _warp(draw: st.DrawFn, value: Any) -> Any:
    """One step down or one change here."""
    if not value or not isinstance(value, dict | list) or draw(st.integers(0, 5)) == 0:
        return draw(ODD_VALUES)
    if isinstance(value, list):
        index = draw(st.integers(0, len(value) - 1))
        kept = [value[index]] * draw(st.sampled_from((0, 1, 1, 2)))
        return [*value[:index], *(_warp(draw, item) for item in kept), *value[index + 1 :]]
    key = draw(st.sampled_from(list(value)))
    rest = {name: item for name, item in value.items() if name != key}
    match draw(st.sampled_from(("down", "down", "down", "drop", "rename"))):
        case "down":
            return value | {key: _warp(draw, value[key])}
        case "drop":
            return rest
        case _:
            return rest | {draw(st.sampled_from((*ODD_TEXTS, *value))): value[key]}
