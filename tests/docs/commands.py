"""Commands that documents name, asked of the command line's own parser."""

import re
import shlex
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from starter.cli.main import app

_CODE = re.compile(r"^\$ (.+)$|`([^`\n]+)`", re.MULTILINE)
_COMMAND = re.compile(r"(?<!--namespace )(?<![\w/.'-])taskflow( [a-z][^#|&>)]*)")


@cache
def _taskflow() -> Any:
    return get_command(app)


def commands_of(text: str) -> set[str]:
    """Every `taskflow` command of a page, in blocks and in sentences, without its comment."""
    lines = (block or inline for block, inline in _CODE.findall(text))
    return {f"taskflow{found.rstrip()}" for line in lines for found in _COMMAND.findall(line)}


def complaint(command: str) -> str | None:
    """What is wrong with it as it stands there; None when it could be typed so."""
    [_, *arguments] = shlex.split(command)
    found: Any = _taskflow()
    context = typer.Context(found, info_name="taskflow")
    name: str | None = "taskflow"
    try:
        while isinstance(found, TyperGroup) and (arguments or not found.invoke_without_command):
            name, found, arguments = found.resolve_command(context, arguments)
            if isinstance(found, TyperGroup):
                context = typer.Context(found, info_name=name, parent=context)
        named_only = not arguments and any(each.required for each in found.params)
        if not named_only:  # a sentence may name a command: "`taskflow why` says"
            found.make_context(name, arguments, parent=context)
    except typer.Exit:  # --help has said what it has to say
        return None
    except TyperException as error:
        return f"`{command}`: {error}"
    return None
