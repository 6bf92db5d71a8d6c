"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Task = Annotated[
    str, typer.Argument(metavar="TASK", help="task-id, or tenant/task-id", show_default=False)
]
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Task file, YAML or JSON; - reads standard input", show_default=False
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option(envvar="TASKFLOW_TENANT", metavar="NAME", help="The tenant, where none is named"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the run's end; 1 unless it is well")]
