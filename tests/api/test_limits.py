"""Who asks too often waits, and keeps nobody else from asking."""

from pathlib import Path

import pytest
from temporalio.client import Client

from starter.api import limits
from starter.api.limits import Buckets, network_of
from starter.callers import Scope
from tests.api.harness import door
from tests.api.test_problems import EVENTS, problem


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_holds_a_minute_and_fills_with_time() -> None:
    """Sixty at once, then one a second; how long to wait is exact."""
    clock = _Clock()
    buckets = Buckets(60, clock)
    assert [buckets.take("a") for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == buckets.wait("a") == pytest.approx(1.0)
    assert buckets.take("b") == 0.0
    clock.now += 0.75
    assert buckets.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(1.0)
    clock.now += 3600
    assert [buckets.take("a") for _ in range(61)].count(0.0) == 60


def test_buckets_of_many_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full ones are forgotten first; when none is full, the oldest."""
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 100)
    clock = _Clock()
    buckets = Buckets(60, clock)
    for number in range(1000):
        buckets.take(number)
        assert len(buckets._buckets) <= 100
    for _ in range(60):
        buckets.take("busy")
    clock.now += 10
    for number in range(1000, 1090):
        buckets.take(number)
    assert buckets.wait("busy") == 0.0
    assert [buckets.take("busy") for _ in range(11)].count(0.0) == 10  # it was not forgotten


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1%eth0", "2001:db8::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_one_host_has_one_network(address: str, network: str) -> None:
    """A host has a whole /64 of IPv6 addresses to choose from."""
    assert network_of(address) == network


async def test_a_tenant_that_asks_too_often_waits_alone(temporal: Client, tmp_path: Path) -> None:
    """All its tokens together have one limit; another tenant and an admin have their own."""
    async with door(temporal, tmp_path, api_requests_per_minute=3) as api:
        first, second = (api.caller("acme", Scope.EVENT_PUBLISH) for _ in range(2))
        other, admin = api.caller("beta", Scope.EVENT_PUBLISH), api.caller(None)
        for headers in (first, second, first):
            problem(await api.http.post(EVENTS, headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")
        for headers in (first, second):
            answer = await api.http.post(EVENTS, headers=headers)
            problem(answer, 429, "TOO_MANY_REQUESTS")
            assert 1 <= int(answer.headers["retry-after"]) <= 20
        for headers in (other, admin):
            answer = await api.http.post(EVENTS, headers=headers, params={"tenant_id": "beta"})
            problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert (await api.http.get("/healthz")).status_code == 200


async def test_an_address_that_guesses_waits(temporal: Client, tmp_path: Path) -> None:
    """After many wrong tokens none of that address is looked at, the right one either."""
    async with door(temporal, tmp_path) as api:
        api.context.failures = Buckets(3)
        right = api.caller("acme", Scope.EVENT_PUBLISH)
        wrong = {"Authorization": "Bearer tsk_0123456789ab_" + "0" * 64}
        for _ in range(3):
            answer = await api.http.post(EVENTS, headers=wrong)
            problem(answer, 401, "TOKEN_INVALID")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for headers in (wrong, right):
            answer = await api.http.post(EVENTS, headers=headers)
            problem(answer, 429, "TOO_MANY_REQUESTS")
            assert int(answer.headers["retry-after"]) == 20
