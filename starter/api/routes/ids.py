"""Ids in paths: what cannot be one is there for nobody, and never gets into a query."""

import re
from typing import Annotated

from fastapi import Depends, Path

from domain.ids import NAME
from domain.problems import shown
from shared.errors import NotFound

_NAME = re.compile(NAME)


async def _task_id(
    task_id: Annotated[str, Path(examples=["daily-report"], description="Unique in its tenant")],
) -> str:
    """Errors: `NotFound`."""
    if not _NAME.fullmatch(task_id):
        raise NotFound(f"there is no task {shown(task_id)}")
    return task_id


TaskId = Annotated[str, Depends(_task_id)]
RunId = Annotated[
    str,
    Path(
        examples=["run/acme/daily-report-2026-11-23T02:00:00Z"],
        description="It holds slashes, which need not be escaped",
    ),
]
