"""What a filter may cost: whatever is let through is quick on any event of 64 KiB.

CEL always ends, but not always soon: comparing two lists of the event once for every item of a
third takes half a minute. So the checked expression is read before it is used. Sizes are counted
in *wholes*: one whole is as much as all the data of an event. A loop over a list of the event may
work on its items, which together are at most one whole; what stands outside it would be worked on
again for each, and is refused. The library itself ends a filter after 10,000 items.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

BUDGET = 100
"""Points: about 1 ms each on the largest event."""
MOST_NODES_IN_LOOP = 50
"""Operands and operators within a loop: each is evaluated for up to 10,000 items."""
MOST_PATTERN, MOST_STEPS = 200, 200
"""Characters of a pattern, and steps when its counted repetitions are written out."""

_COMPARISONS = {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"}
_SCALARS = {"_&&_", "_||_", "!_", "@not_strictly_false", "_-_", "_*_", "_/_", "_%_", "-_", "type"}
_HELD = {"_+_", "string", "bytes", "dyn"}  # what they give is as large as what they were given
_COMPARE, _SEARCH, _FIND, _MATCH, _MATCH_LARGE, _TOUCH = 10, 5, 10, 20, 50, 1
_NAMES = {"@in": "in", "_+_": "+", "_[_]": "[]"}
_PIECES = re.compile(
    r"\\[pP](?:\{\^?\w*\}|.)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]])*\]"
    r"|\(\?(?:P?<\w+>|[a-zA-Z-]*:?)|\(|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}|.",
    re.DOTALL,
)
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")
_LARGE_CLASS = re.compile(rf"\\[pP]|{_IGNORES_CASE.pattern}")
_LARGE = 20  # a class of Unicode is this many times as large as another
_LITERAL = 20  # characters of a literal within a loop that count as an operand


@dataclass(frozen=True, slots=True)
class _Size:
    """How large a value can be: `wholes` in all, over the rounds of the loop at `depth`."""

    wholes: int = 0
    depth: int = 0


_SMALL = _Size()


def check_cost(serialized: bytes) -> list[str]:
    """The patterns of a filter, from what the library serializes.

    Errors: `ValueError` when the filter may take too long.
    """
    any_message, checked = _messages()
    expression = checked.FromString(any_message.FromString(serialized).value).expr
    reader = _Reader()
    reader.size(expression, {})
    if reader.points > BUDGET:
        raise ValueError(
            f"costs too much: {reader.points} points of {BUDGET}. Comparing two values of the "
            f"event costs {_COMPARE}, `in` {_SEARCH}, `matches` {_MATCH} or {_MATCH_LARGE}"
        )
    return reader.patterns


class _Reader:
    """Walks an expression, adds up what it costs and refuses what nothing bounds."""

    def __init__(self) -> None:
        self.points = 0
        self.patterns: list[str] = []
        self._rounds: list[int | None] = []  # of each loop around; None for one over the event
        self._nodes = 0

    def size(self, expression: Any, names: Mapping[str, _Size]) -> _Size:
        """How large the value of an expression can be."""
        self._nodes += 1
        match expression.WhichOneof("kind"):
            case "constant":
                constant = expression.constant
                literal = len(constant.string_value) + len(constant.bytes_value)
                self._nodes += literal // _LITERAL if self._rounds else 0
            case "ident":
                name = expression.ident.name
                return names.get(name, _Size(1) if "." in name else _SMALL)
            case "select":
                operand = self.size(expression.select.operand, names)
                return _SMALL if expression.select.test_only else operand
            case "call":
                return self._call(expression.call, names)
            case "items":
                return _together([self.size(item, names) for item in expression.items.elements])
            case "struct":
                return self._struct(expression.struct.entries, names)
            case "comprehension":
                self._loop(expression.comprehension, names)
        return _SMALL

    def _struct(self, entries: Any, names: Mapping[str, _Size]) -> _Size:
        keys = _together([self.size(entry.map_key, names) for entry in entries])
        self._charge("{}", keys, _TOUCH)
        return _together([self.size(entry.value, names) for entry in entries])

    def _call(self, call: Any, names: Mapping[str, _Size]) -> _Size:
        parts = ([call.target] if call.HasField("target") else []) + list(call.args)
        sizes = [self.size(part, names) for part in parts]
        name, whole = call.function, _together(sizes)
        if name in _COMPARISONS:
            self._compare(name, sizes)
        elif name == "@in":
            self._charge(name, sizes[-1], _SEARCH)
        elif name == "contains":
            self._charge(name, whole, _FIND if sizes[-1].wholes else _TOUCH)
        elif name == "matches":
            pattern = _pattern_of(parts[-1])
            self.patterns.append(pattern)
            if self._rounds:
                raise ValueError("costs too much: `matches` within all, exists or exists_one")
            self._charge(name, whole, _MATCH_LARGE if _LARGE_CLASS.search(pattern) else _MATCH)
        elif name == "_[_]":
            self._charge(name, sizes[-1], _TOUCH)
            return sizes[0]
        elif name == "_?_:_":
            return _together(sizes[1:])
        elif name not in _SCALARS:
            self._charge(name, whole, _TOUCH)
        return whole if name in _HELD else _SMALL

    def _compare(self, name: str, sizes: Sequence[_Size]) -> None:
        """A comparison ends where the smaller value ends: the innermost, or the least."""
        if all(size.wholes for size in sizes):
            smaller = min(sizes, key=lambda size: (-size.depth, size.wholes))
            self._charge(name, smaller, _COMPARE)

    def _loop(self, loop: Any, names: Mapping[str, _Size]) -> None:
        if loop.accu_init.WhichOneof("kind") == "items":
            raise ValueError("`map` and `filter` cost too much: use all, exists or exists_one")
        items = self.size(loop.iter_range, names)
        wholes = items.wholes * self._repeated("a loop", items)
        literal = loop.iter_range.WhichOneof("kind") == "items"
        before, self._nodes = self._nodes, 0
        self._rounds.append(len(loop.iter_range.items.elements) if literal else None)
        inside = {
            **names,
            loop.iter_var: _Size(wholes, len(self._rounds)),
            loop.accu_var: _SMALL,
        }
        for part in (loop.loop_condition, loop.loop_step):
            self.size(part, inside)
        self._rounds.pop()
        if self._nodes > MOST_NODES_IN_LOOP:
            raise ValueError(
                f"costs too much: {self._nodes} operands and operators within all, exists or "
                f"exists_one, and {MOST_NODES_IN_LOOP} are the most"
            )
        self._nodes += before

    def _charge(self, name: str, size: _Size, points: int) -> None:
        if size.wholes:
            self.points += points * size.wholes * self._repeated(f"`{_shown(name)}`", size)

    def _repeated(self, what: str, size: _Size) -> int:
        """How often a value is worked on again. Errors: `ValueError` when nothing bounds it."""
        times = 1
        for rounds in self._rounds[size.depth :]:
            if rounds is None and size.wholes:
                raise ValueError(
                    f"costs too much: {what} on a value from outside, once for each item of a list "
                    "of the event; within all, exists or exists_one use the item and literals"
                )
            times *= rounds or 1
        return times


def _together(sizes: Sequence[_Size]) -> _Size:
    """Several values as one: as large as all, and worked on again as often as the outermost."""
    large = [size for size in sizes if size.wholes]
    if not large:
        return _SMALL
    return _Size(sum(size.wholes for size in large), min(size.depth for size in large))


def _shown(name: str) -> str:
    return _NAMES.get(name, name.strip("_@"))


def _pattern_of(pattern: Any) -> str:
    """The text of a pattern. Errors: `ValueError` when it is not known yet, or costs too much."""
    if pattern.WhichOneof("kind") != "constant":
        raise ValueError("`matches` needs its pattern as text in quotes: another may cost too much")
    text: str = pattern.constant.string_value
    if len(text) > MOST_PATTERN:
        raise ValueError(f"a pattern of `matches` has {MOST_PATTERN} characters at most")
    if (steps := _steps(text)) > MOST_STEPS:
        raise ValueError(
            f"a pattern of `matches` has {MOST_STEPS} steps at most, and this has {steps}: "
            "{n,m} repeats what stands before it, and \\p counts as 20"
        )
    return text


def _steps(pattern: str) -> int:
    """How long a pattern is when its counted repetitions are written out, nearly."""
    groups, last = [0], [0]  # of each open group: steps so far, and those of what stands last
    for piece in _PIECES.finditer(pattern):
        text = piece[0]
        if text.startswith("("):
            groups.append(0)
            last.append(0)
        elif text == ")" and len(groups) > 1:
            last.pop()
            last[-1] = groups.pop()
            groups[-1] += last[-1]
        elif text.startswith("{") and piece["least"]:
            times = max(int(piece["least"]), int(piece["most"] or 0), 1)
            groups[-1] += last[-1] * (times - 1)
            last[-1] *= times
        else:
            last[-1] = _LARGE if "\\p" in text.lower() else 1
            groups[-1] += last[-1]
    return sum(groups) * (2 if _IGNORES_CASE.search(pattern) else 1)


@cache
def _messages() -> tuple[Any, Any]:
    """Readers of what the library writes: an Any with the parts of a CheckedExpr used here."""
    from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool  # noqa: PLC0415 - as
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415 - the library's

    file = descriptor_pb2.FileDescriptorProto(name="checked.proto", syntax="proto3")
    for name, fields in _SHAPE.items():
        message = file.message_type.add(name=name)
        if name == "Expr":
            message.oneof_decl.add(name="kind")
        for number, field_name, kind in fields:
            one = message.field.add(name=field_name, number=number)
            one.label = one.LABEL_REPEATED if kind.startswith("*") else one.LABEL_OPTIONAL
            if kind in ("string", "bytes", "bool"):
                one.type = getattr(one, f"TYPE_{kind.upper()}")
            else:
                one.type, one.type_name = one.TYPE_MESSAGE, f".{kind.lstrip('*')}"
            if name == "Expr":
                one.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return any_pb2.Any, GetMessageClass(pool.FindMessageTypeByName("Checked"))


_SHAPE = {
    "Checked": [(4, "expr", "Expr")],
    "Expr": [
        (3, "constant", "Constant"),
        (4, "ident", "Ident"),
        (5, "select", "Select"),
        (6, "call", "Call"),
        (7, "items", "Items"),
        (8, "struct", "Struct"),
        (9, "comprehension", "Comprehension"),
    ],
    "Constant": [(6, "string_value", "string"), (7, "bytes_value", "bytes")],
    "Ident": [(1, "name", "string")],
    "Select": [(1, "operand", "Expr"), (3, "test_only", "bool")],
    "Call": [(1, "target", "Expr"), (2, "function", "string"), (3, "args", "*Expr")],
    "Items": [(1, "elements", "*Expr")],
    "Struct": [(2, "entries", "*Entry")],
    "Entry": [(3, "map_key", "Expr"), (4, "value", "Expr")],
    "Comprehension": [
        (1, "iter_var", "string"),
        (2, "iter_range", "Expr"),
        (3, "accu_var", "string"),
        (4, "accu_init", "Expr"),
        (5, "loop_condition", "Expr"),
        (6, "loop_step", "Expr"),
        (7, "result", "Expr"),
    ],
}
"""Of `cel/expr/checked.proto` and `syntax.proto`: the number, name and kind of each field."""
