"""Making a namespace ready for runs: it exists, remembers for long enough, and has our attributes.

A second time changes nothing, so that each deployment may do it.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.duration import format_duration
from shared.calls import is_missing
from shared.errors import TaskflowError, TemporalUnreachable
from shared.search_attributes import register_search_attributes
from starter.rpc import reach, temporal_errors

RETENTION = timedelta(days=30)
"""How long closed runs are kept: as long as repeats are recognised and reports can look back."""
KNOWN_WITHIN = 30.0
"""Seconds until every host of a cluster knows a namespace that was just made."""
_PAUSE = 1.0
_NOT_OURS = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Setup:
    """What was found, and what of it is new."""

    namespace: str
    created: bool
    retention: timedelta
    retention_raised: bool
    search_attributes_added: list[str]

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.created or self.retention_raised or bool(self.search_attributes_added)

    def as_json(self) -> dict[str, Any]:
        """The document of `setup`."""
        return {
            "namespace": self.namespace,
            "created": self.created,
            "retention": format_duration(self.retention),
            "retention_raised": self.retention_raised,
            "search_attributes_added": self.search_attributes_added,
        }


async def reach_within(seconds: float, patience: float) -> Client:
    """A client, from a server that may need so many seconds to come up.

    Errors: `TemporalUnreachable`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return await reach(patience)
        except TemporalUnreachable:
            if time.monotonic() >= end:
                raise
        await asyncio.sleep(_PAUSE)


async def set_up(client: Client, retention: timedelta = RETENTION) -> Setup:
    """Make what is missing; a longer retention is left as it is.

    Errors: `TaskflowError` where the namespace may not be changed by us, which says what to do.
    """
    with temporal_errors():
        try:
            created, kept = await _namespace(client, retention)
        except RPCError as error:
            if error.status not in _NOT_OURS:
                raise
            raise TaskflowError(
                f"namespace {client.namespace} cannot be made or changed by taskflow "
                f"({error.message}): make it by your cluster's tools, with a retention of "
                f"{format_duration(retention)} or more"
            ) from error
        added = await _search_attributes(client)
    raised = not created and kept < retention
    return Setup(client.namespace, created, max(kept, retention), raised, added)


async def _namespace(client: Client, retention: timedelta) -> tuple[bool, timedelta]:
    """Whether it was made now, and the retention that it had."""
    service, name = client.workflow_service, client.namespace
    wanted = Duration()
    wanted.FromTimedelta(retention)
    try:
        found = await service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    except RPCError as error:
        if not is_missing(error):
            raise
        try:
            await service.register_namespace(
                RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=wanted)
            )
        except RPCError as refused:
            if refused.status != RPCStatusCode.ALREADY_EXISTS:  # another process was quicker
                raise
        return True, retention
    kept = found.config.workflow_execution_retention_ttl.ToTimedelta()
    if kept < retention:
        config = NamespaceConfig(workflow_execution_retention_ttl=wanted)
        await service.update_namespace(UpdateNamespaceRequest(namespace=name, config=config))
    return False, kept


async def _search_attributes(client: Client) -> list[str]:
    end = time.monotonic() + KNOWN_WITHIN
    while True:
        try:
            return await register_search_attributes(client)
        except RPCError as error:
            if not is_missing(error) or time.monotonic() >= end:
                raise
        await asyncio.sleep(_PAUSE)
