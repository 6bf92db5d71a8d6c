"""The part of a worker for what follows on runs: its own queue and slots, so that none waits."""

from functools import cache
from typing import TYPE_CHECKING

from temporalio.worker import Worker

from activities.debounce import DebounceActivities
from activities.notices import NoticeActivities
from activities.work_orders import WorkOrderActivities
from domain.ids import recovery_queue
from shared.builds import build_of
from shared.metrics import NoticeMetrics
from worker.build import new_worker
from workflows.answered import Answered
from workflows.breaker import Breaker
from workflows.debounce import Debounce
from workflows.delivery import Delivery
from workflows.notice import Notice
from workflows.work_order import WorkOrder

if TYPE_CHECKING:
    from worker.main import Parts


@cache
def notice_metrics() -> NoticeMetrics:
    """Those of this process: a name can be registered once."""
    return NoticeMetrics()


def notice_activities(parts: "Parts") -> NoticeActivities:
    """What runs raise notices by, and notices tell by."""
    settings = parts.settings
    return NoticeActivities(
        parts.client,
        parts.http,
        settings.notifications_url,
        settings.notifications_timeout,
        task_queue=settings.task_queue,
        flags_of=parts.policy.of,
        metrics=notice_metrics(),
    )


def build_recovery_worker(parts: "Parts") -> Worker:
    """Notices, work orders, breakers, deliveries, debounces, and what they have done for them."""
    notices, orders = notice_activities(parts), WorkOrderActivities(parts.client)
    debounce = DebounceActivities(parts.client, parts.settings.task_queue)
    return new_worker(
        parts.client,
        task_queue=recovery_queue(parts.settings.task_queue),
        workflows=[Notice, WorkOrder, Breaker, Delivery, Answered, Debounce],
        activities=[
            notices.notify,
            notices.look_at_streak,
            orders.prepare_retry,
            parts.events.deliver_changes,
            debounce.tell_superseded,
        ],
        build=build_of(parts.settings),
    )
