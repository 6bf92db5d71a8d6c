"""`python -m tests.nats.killed`: `taskflow nats`, killed when it has started the runs of an event.

The event is not acknowledged yet: this is the worst moment.
"""

import os
import signal
import sys
from collections.abc import Sequence

from temporalio.client import Client

from domain.events_in import CloudEvent
from starter import events as service
from starter.events import Received
from starter.rules import Rules

_receive = service.receive


async def _receive_and_die(
    client: Client, rules: Rules, tenant_id: str, events: Sequence[CloudEvent]
) -> list[Received]:
    await _receive(client, rules, tenant_id, events)
    os.kill(os.getpid(), signal.SIGKILL)
    return []


if __name__ == "__main__":
    service.receive = _receive_and_die  # before whoever calls it is loaded
    from starter.nats.__main__ import main

    sys.exit(main())
