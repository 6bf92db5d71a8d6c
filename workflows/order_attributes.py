"""What a work order is found by and listed with."""

from typing import Any

from temporalio.common import SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes

from domain.work_orders import ORDER_MEMO, WorkOrderView
from workflows import attributes as sa


def attributes_of(view: WorkOrderView) -> TypedSearchAttributes:
    """From its first moment."""
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(sa.TENANT_ID, view.tenant_id),
        SearchAttributePair(sa.TASK_ID, view.task_id),
        SearchAttributePair(sa.PLUGIN_ID, view.plugin_id),
        SearchAttributePair(sa.TASK_STATUS, view.status.value),
    ]
    if view.error_code:
        pairs.append(SearchAttributePair(sa.ERROR_CODE, view.error_code))
    return TypedSearchAttributes(pairs)


def updates_of(view: WorkOrderView) -> list[SearchAttributeUpdate[Any]]:
    """After a change."""
    updates: list[SearchAttributeUpdate[Any]] = [sa.TASK_STATUS.value_set(view.status.value)]
    if view.error_code:
        updates.append(sa.ERROR_CODE.value_set(view.error_code))
    return updates


def memo_of(view: WorkOrderView) -> dict[str, Any]:
    """The row of a list."""
    return {ORDER_MEMO: view.row().model_dump(mode="json")}
