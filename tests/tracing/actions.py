"""Which lines our source logs, and the `action` that each of them names."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shared.settings import ROOT

PACKAGES = (
    "activities",
    "domain",
    "pluginkit",
    "sandbox",
    "shared",
    "starter",
    "worker",
    "workflows",
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOGGERS = ("log", "logger")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


@dataclass(frozen=True)
class Logged:
    """A call that logs a line. `actions`: what it can be; none when it names no action."""

    place: str
    actions: tuple[str, ...]


@cache
def logged() -> list[Logged]:
    """Every such call of our packages."""
    found: list[Logged] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text()
            if any(f"{name}." in source for name in LOGGERS):
                found += logged_in(source, str(path.relative_to(ROOT)))
    return found


def logged_in(source: str, name: str) -> Iterator[Logged]:
    """Those of one module."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _logs(node.func):
            value = _action_of(node)
            within = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]
            found = tuple(_actions(value, within, tree)) if value else ()
            yield Logged(f"{name}:{node.lineno}", found)


def _logs(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    of = function.value
    return (isinstance(of, ast.Name) and of.id in LOGGERS) or (
        isinstance(of, ast.Attribute) and of.attr in LOGGERS
    )


def _action_of(call: ast.Call) -> ast.expr | None:
    """`action=...` of structlog, or `extra={"action": ...}` of the standard library."""
    for keyword in call.keywords:
        if keyword.arg == "action":
            return keyword.value
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "action":
                    return value
    return None


def _actions(value: ast.expr, within: Sequence[_Function], tree: ast.Module) -> Iterator[str]:
    """A name; several of a choice or of a parameter; one with a star for what is put in."""
    match value:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp():
            yield from _actions(value.body, within, tree)
            yield from _actions(value.orelse, within, tree)
        case ast.JoinedStr():
            parts = (part.value if isinstance(part, ast.Constant) else "*" for part in value.values)
            yield "".join(map(str, parts))
        case ast.Name(id=parameter) if within:
            function = within[-1]
            place = [argument.arg for argument in function.args.args].index(parameter)
            for call in ast.walk(tree):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id == function.name
                ):
                    yield from _actions(call.args[place], (), tree)


def documented(page: Path) -> set[str]:
    """The actions of a page's tables of them: the first cell of each row, in backticks."""
    tables = page.read_text().partition("\n## Actions\n")[2]
    rows = (line for line in tables.splitlines() if line.startswith("| `"))
    return {name for row in rows for name in row.split("|")[1].replace("`", " ").split()}
