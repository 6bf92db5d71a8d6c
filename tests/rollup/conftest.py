"""A server for each of these tests: a look counts every tenant and every day that a server has."""

from collections.abc import AsyncIterator

import pytest

from domain.policy import Policy
from starter.dev.server import remember_for
from tests.conftest import start_temporal
from tests.rollup.harness import RETENTION, Days
from tests.starter.limits import Limits


@pytest.fixture
async def days(policy: Policy) -> AsyncIterator[Days]:
    """Three days that are over, of which nothing is known yet; workers look when they are told.

    Temporal keeps what has ended for five days.
    """
    async with await start_temporal() as environment:
        client = environment.client
        await remember_for(client.service_client.config.target_host, RETENTION)
        limits = Limits(client, policy)
        async with limits.working():
            yield Days(client, limits.queue)
