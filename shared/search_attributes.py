"""Registering the product's search attributes with a namespace; a second time changes nothing."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.attributes import SEARCH_ATTRIBUTES
from shared.errors import TaskflowError

_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


async def missing_search_attributes(client: Client) -> list[str]:
    """The names that the namespace does not have yet.

    Errors: `TaskflowError` when one exists with another type, which only a person can resolve.
    """
    response = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    present = response.custom_attributes
    for name, kind in SEARCH_ATTRIBUTES.items():
        if name in present and present[name] != _TYPES[kind]:
            found = IndexedValueType.Name(present[name]).rpartition("_")[2].title()
            raise TaskflowError(
                f"the search attribute {name} of namespace {client.namespace} is {found} and "
                f"must be {kind}: use another namespace (TEMPORAL_NAMESPACE)"
            )
    return [name for name in SEARCH_ATTRIBUTES if name not in present]


async def register_search_attributes(client: Client) -> list[str]:
    """Add what is missing, and give back the names added.

    Errors: `TaskflowError` when the namespace does not let us (Temporal Cloud wants them made by
    its own tools), naming what to add.
    """
    missing = await missing_search_attributes(client)
    if not missing:
        return []
    wanted = {name: _TYPES[SEARCH_ATTRIBUTES[name]] for name in missing}
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=wanted)
        )
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:  # another process was quicker
            return []
        if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            names = ", ".join(f"{name} ({SEARCH_ATTRIBUTES[name]})" for name in missing)
            raise TaskflowError(
                f"namespace {client.namespace} does not let taskflow add search attributes: "
                f"add these by your cluster's tools: {names}"
            ) from error
        raise
    return missing
