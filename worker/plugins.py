"""The part of a worker that calls plugins: its own task queue and slots.

However slow plugins are, they take no slot from admission, from service levels or from the watch.
"""

from typing import TYPE_CHECKING

from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerTuner

from activities.canary import probe
from activities.cancel import CancelActivities
from domain.ids import plugin_queue
from shared.builds import build_of
from worker.build import MAX_CALLS, new_worker

if TYPE_CHECKING:
    from worker.main import Parts

POLLERS = PollerBehaviorAutoscaling(minimum=2, initial=5, maximum=50)
"""Two for an idle queue, where each costs the server a connection that waits. A burst of fires has
many calls wait at once, and the server then asks for more: 50 fill all slots in ten rounds."""


def build_plugin_worker(parts: "Parts") -> Worker:
    """Calls of plugins, and the word to stop; no workflows.

    A fixed number of slots: an open call waits on a socket and holds a few kilobytes, so neither
    cores nor memory say how many are good. A tuner by resources would watch the whole machine,
    hand out fewer slots because of what others do on it, and take 50 ms for each slot of a burst.
    """
    cancels = CancelActivities(parts.http, parts.settings.plugin_url, parts.secrets)
    return new_worker(
        parts.client,
        task_queue=plugin_queue(parts.settings.task_queue),
        workflows=[],
        activities=[parts.plugins.execute_plugin, cancels.cancel_execution, probe],
        tuner=WorkerTuner.create_fixed(activity_slots=MAX_CALLS),
        pollers=POLLERS,
        build=build_of(parts.settings),
    )
