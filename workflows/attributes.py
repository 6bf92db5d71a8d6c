"""Typed keys of the search attributes that a run sets."""

from temporalio.common import SearchAttributeKey

from domain import attributes as names

TENANT_ID = SearchAttributeKey.for_keyword(names.TENANT_ID)
TASK_ID = SearchAttributeKey.for_keyword(names.TASK_ID)
PLUGIN_ID = SearchAttributeKey.for_keyword(names.PLUGIN_ID)
TASK_STATUS = SearchAttributeKey.for_keyword(names.TASK_STATUS)
TRIGGER_KIND = SearchAttributeKey.for_keyword(names.TRIGGER_KIND)
ERROR_CODE = SearchAttributeKey.for_keyword(names.ERROR_CODE)
SLA_STATUS = SearchAttributeKey.for_keyword(names.SLA_STATUS)
TRIGGER_TIME = SearchAttributeKey.for_datetime(names.TRIGGER_TIME)
ACTUAL_START = SearchAttributeKey.for_datetime(names.ACTUAL_START)
RETRY_COUNT = SearchAttributeKey.for_int(names.RETRY_COUNT)
WAITS_FOR = SearchAttributeKey.for_keyword(names.WAITS_FOR)
QUEUE_POSITION = SearchAttributeKey.for_int(names.QUEUE_POSITION)
DURATION_MS = SearchAttributeKey.for_int(names.DURATION_MS)

SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""Set by Temporal on a run that a schedule started: the nominal time."""
