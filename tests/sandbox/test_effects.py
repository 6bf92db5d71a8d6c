"""One effect per idempotency key, and no effect for a stale fence."""

import asyncio

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import code_of, execute, new_key, request, until_arrived


async def effects_of(sandbox: SandboxClient, key: str) -> list[int | None]:
    """The effect numbers of the key's deliveries, by arrival."""
    return [delivery.effect for delivery in await sandbox.deliveries(key=key)]


async def test_a_repeated_delivery_has_no_second_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The same success comes again, even when the plugin would give another result by now."""
    key = new_key()
    await sandbox.configure("builder", result="first")
    first = await execute(http, "builder", key)
    await sandbox.configure("builder", result="second", script=["fail:LATER"])
    again = await execute(http, "builder", key, attempt=2)
    assert again.json() == first.json()
    effects = await effects_of(sandbox, key)
    assert effects[0] is not None
    assert effects == [effects[0]] * 2


async def test_an_effect_whose_answer_was_lost_is_answered_again(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After `drop` the caller knows nothing; its retry gets the success of the first delivery."""
    key = new_key()
    await sandbox.configure("builder", script=["drop"], result=7)
    with pytest.raises(httpx.RemoteProtocolError):
        await execute(http, "builder", key)
    assert (await execute(http, "builder", key, attempt=2)).json()["result"] == 7
    assert len(set(await effects_of(sandbox, key))) == 1


async def test_scripted_faults_go_on_after_the_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A storm after a lost answer can be scripted: faults of the wire come as listed."""
    key = new_key()
    await sandbox.configure("builder", script=["drop", "503", "reject:NEVER"])
    with pytest.raises(httpx.RemoteProtocolError):
        await execute(http, "builder", key)
    assert (await execute(http, "builder", key)).status_code == 503
    assert (await execute(http, "builder", key)).json()["status"] == "SUCCESS"
    first, second, third = await effects_of(sandbox, key)
    assert first is not None
    assert (second, third) == (None, first)


async def test_a_hundred_deliveries_at_once_have_one_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """However many callers race for one key, all get the same effect."""
    key = new_key()
    await sandbox.configure("builder", latency=0.05)
    answers = await asyncio.gather(*(execute(http, "builder", key) for _ in range(100)))
    assert {answer.json()["status"] for answer in answers} == {"SUCCESS"}
    deliveries = await sandbox.deliveries(key=key)
    assert sorted(delivery.delivery for delivery in deliveries) == list(range(1, 101))
    assert len({delivery.effect for delivery in deliveries}) == 1


async def test_other_keys_have_effects_of_their_own(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Effect numbers are never given twice."""
    await asyncio.gather(*(execute(http, "builder") for _ in range(50)))
    effects = [delivery.effect for delivery in await sandbox.deliveries()]
    assert None not in effects
    assert len(set(effects)) == 50


async def test_a_stale_fence_is_refused(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """A fence below the highest of its key is a 409 without effect, in the log as `stale`."""
    key = new_key()
    await sandbox.configure("builder", script=["503"])
    await execute(http, "builder", key, fence=7)
    answer = await execute(http, "builder", key, fence=6)
    assert (answer.status_code, code_of(answer)) == (409, "STALE_FENCE")
    assert (await execute(http, "builder", key, fence=7)).status_code == 503
    assert (await execute(http, "builder", fence=1)).status_code == 503, "another key, no fence"
    outcomes = [delivery.outcome for delivery in await sandbox.deliveries(key=key)]
    assert outcomes == ["503", "stale", "503"]


async def test_a_fence_that_turns_stale_while_the_plugin_works_has_no_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The fence counts when the effect is made, not when the delivery came in."""
    key = new_key()
    await sandbox.configure("builder", latency=0.3)
    old = asyncio.create_task(execute(http, "builder", key, fence=1))
    await until_arrived(sandbox)
    new = await execute(http, "builder", key, fence=2, attempt=2)
    assert (await old).status_code == 409
    assert new.json()["status"] == "SUCCESS"
    assert [(d.outcome, d.fence) for d in await sandbox.deliveries(key=key)] == [
        ("stale", 1),
        ("ok", 2),
    ]


async def test_a_dripping_answer_that_turns_stale_is_cut(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Once the status is out there is no 409: the connection closes without a document."""
    key = new_key()
    await sandbox.configure("builder", script=["slow:0.4", "ok"])
    old = asyncio.create_task(execute(http, "builder", key, fence=1))
    await until_arrived(sandbox)
    await execute(http, "builder", key, fence=2)
    with pytest.raises(httpx.RemoteProtocolError):
        await old
    assert [d.outcome for d in await sandbox.deliveries(key=key)] == ["stale", "ok"]


async def test_the_plugin_works_on_when_its_caller_leaves(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A caller that gave up or was killed does not stop the effect."""
    key = new_key()
    await sandbox.configure("builder", latency=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await http.post(**request("builder", key), timeout=0.1)
    (delivery,) = await until_arrived(sandbox, ended=True)
    assert (delivery.outcome, delivery.effect is not None) == ("ok", True)


async def test_reset_forgets_keys_and_knobs(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After a reset a key is new again: its next effect is another one."""
    key = new_key()
    await sandbox.configure("builder", result="old")
    await execute(http, "builder", key, fence=9)
    (before,) = await effects_of(sandbox, key)
    await sandbox.reset()
    assert await sandbox.deliveries() == []
    assert (await execute(http, "builder", key, fence=1)).json()["result"] is None
    (after,) = await effects_of(sandbox, key)
    assert before is not None
    assert after is not None
    assert after > before
