"""Asking the capacity service for what tasks need: reserved as a run would, and given back."""

import secrets
from collections.abc import Iterable
from datetime import datetime

import httpx
from temporalio.exceptions import ApplicationError

from activities.capacity import CapacityActivities
from domain.agenda import Key
from domain.capacity import CapacityRelease, CapacityRequest
from domain.task import Task
from domain.trace import trace_id, traceparent
from shared.settings import Settings

NO_REASON = "no reason given"
_NOT_CONFIGURED = "no capacity service is configured (TASKFLOW_CAPACITY_URL)"


async def ask_capacity(
    tasks: Iterable[Task], settings: Settings, now: datetime
) -> dict[Key, tuple[bool, str]]:
    """For each task with resources whether it would get them now, and a sentence; one by one."""
    found: dict[Key, tuple[bool, str]] = {}
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as http:
        service = CapacityActivities(http, settings.capacity_url, settings.capacity_timeout)
        for task in tasks:
            if not task.resources:
                continue
            key = (task.tenant_id, task.task_id)
            if settings.capacity_url is None:
                found[key] = True, _NOT_CONFIGURED
            else:
                found[key] = await _reserve(service, task, now)
    return found


async def _reserve(service: CapacityActivities, task: Task, now: datetime) -> tuple[bool, str]:
    reservation = f"dryrun/{task.tenant_id}/{task.task_id}/{secrets.token_hex(4)}"
    parent = traceparent(trace_id(reservation, ""), 1)
    request = CapacityRequest(
        reservation_id=reservation,
        tenant_id=task.tenant_id,
        task_id=task.task_id,
        resources=task.resources,
        start=now,
        duration=task.expected_duration or task.timeout,
    )
    release = CapacityRelease(
        reservation_id=reservation, tenant_id=task.tenant_id, task_id=task.task_id
    )
    said = "the capacity service did not decide"
    granted = False
    held = True  # after an error nobody knows, and what is held must be given back
    try:
        answer = await service.reserve(request, parent)
        granted = held = answer.granted
        said = "there is enough now" if granted else f"not enough now: {answer.reason or NO_REASON}"
    except ApplicationError as error:
        said = f"{said}: {error.message}"
    finally:
        if held and (kept := await _give_back(service, release, parent)):
            granted, said = False, f"{said}; reservation {reservation} may be held still: {kept}"
    return granted, said


async def _give_back(
    service: CapacityActivities, release: CapacityRelease, parent: str
) -> str | None:
    """Why it could not be given back; None when it was."""
    try:
        await service.release(release, parent)
    except ApplicationError as error:
        return error.message
    return None
