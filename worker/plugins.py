"""The part of a worker for what runs have done beside calls of plugins: its own queue and slots.

Calls are made on the queue of the runs themselves, where the server gives a call to the worker that
asks for it without a trip through the queue. However slow they are, they take no slot from here.
"""

from typing import TYPE_CHECKING

from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerTuner

from activities.canary import probe
from activities.cancel import CancelActivities
from activities.debounce import DebounceActivities
from domain.ids import plugin_queue
from shared.builds import build_of
from worker.build import MAX_CALLS, new_worker
from worker.recovery import notice_activities

if TYPE_CHECKING:
    from worker.main import Parts

POLLERS = PollerBehaviorAutoscaling(minimum=2, initial=5, maximum=50)
"""Two for an idle queue, where each costs the server a connection that waits. A burst of fires has
many calls wait at once, and the server then asks for more: 50 fill all slots in ten rounds."""


def build_plugin_worker(parts: "Parts") -> Worker:
    """Capacity, the word to stop, and what could not be told at once; no workflows.

    Calls of plugins and probes are those that older workers asked for. A fixed number of slots:
    an open call waits on a socket and holds a few kilobytes, so neither cores nor memory say how
    many are good. A tuner by resources would watch the whole machine, hand out fewer slots because
    of what others do on it, and take 50 ms for each slot of a burst.
    """
    cancels = CancelActivities(parts.http, parts.settings.plugin_url, parts.secrets)
    return new_worker(
        parts.client,
        task_queue=plugin_queue(parts.settings.task_queue),
        workflows=[],
        activities=[
            cancels.cancel_execution,
            parts.capacity.reserve_capacity,
            parts.capacity.release_capacity,
            notice_activities(parts).raise_notices,
            parts.events.publish_changes,
            DebounceActivities(parts.client, parts.settings.task_queue).debounce_event,
            parts.plugins.execute_plugin,
            probe,
        ],
        tuner=WorkerTuner.create_fixed(activity_slots=MAX_CALLS),
        pollers=POLLERS,
        build=build_of(parts.settings),
    )
