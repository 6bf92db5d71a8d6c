"""The part of a worker that governs: its own task queue and slots, so that no run holds them up."""

from temporalio.client import Client
from temporalio.worker import Worker

from activities.capacity import CapacityActivities
from activities.governor import GovernorActivities
from shared.builds import build_of
from shared.governor import governor_queue
from shared.settings import Settings
from worker.build import new_worker
from workflows.governor import Governor


def build_governor_worker(
    client: Client, settings: Settings, capacity: CapacityActivities
) -> Worker:
    """Governors and what they have done for them."""
    governors = GovernorActivities(client, capacity)
    return new_worker(
        client,
        task_queue=governor_queue(settings.task_queue),
        workflows=[Governor],
        activities=[governors.restore_governor, governors.sweep_runs, governors.tell_runs],
        build=build_of(settings),
    )
