"""The notification service of the sandbox: a breach is told once, and gets one work order."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.client import SandboxClient, SandboxError
from tests.sandbox.harness import breach, code_of, running

ORDER = {"cause": "the plugin timed out", "attempts": [{"attempt": 1, "late": 1.5}]}


async def notify(
    http: httpx.AsyncClient, breach_id: str = "run/a/finish", **changes: Any
) -> str | None:
    """Send a notification; the work order of the 200."""
    answer = await http.post(**breach(breach_id, **changes))
    assert (answer.status_code, list(answer.json())) == (200, ["work_order_id"])
    found: str | None = answer.json()["work_order_id"]
    return found


async def test_a_notification_is_kept_as_it_was_sent(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """All of the body can be read back, what the contract does not know too."""
    sent = breach(work_order=ORDER, expected_by=None, beside={"a": [1, None, "ü"]})
    assert (await http.post(**sent)).status_code == 200
    (shown,) = (await http.get("/control/notifications")).json()["notifications"]
    work_order_id, at = shown.pop("work_order_id"), shown.pop("at")
    assert (shown.pop("received"), shown) == (1, sent["json"])
    assert work_order_id.startswith("WO-")
    (found,) = (await sandbox.notifications()).notifications
    assert (found.work_order, found.work_order_id, found.expected_by) == (
        ORDER,
        work_order_id,
        None,
    )
    assert at.endswith("Z")


async def test_only_who_wants_a_work_order_gets_one(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Numbers follow one another, and are not used up by breaches that want none."""
    ids = [await notify(http, f"b{n}", work_order=ORDER if n % 2 else None) for n in range(4)]
    assert (ids[0], ids[2]) == (None, None)
    first, second = (int(str(ids[n]).removeprefix("WO-")) for n in (1, 3))
    assert second == first + 1
    found = await sandbox.notifications()
    assert [n.work_order_id for n in found.notifications] == ids
    assert found.requests == 4


async def test_the_same_breach_is_told_once(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """However many send it at once, and whatever they say by then, it has one work order."""
    await sandbox.configure_notifications(latency=0.02)
    sent = [notify(http, work_order=ORDER, message=f"no. {n}") for n in range(50)]
    (order,) = set(await asyncio.gather(*sent))
    assert await notify(http, work_order=None) == order
    assert await notify(http, "run/b/finish") is None
    assert await notify(http, "run/b/finish", work_order=ORDER) is None
    found = await sandbox.notifications()
    assert [(n.breach_id, n.received) for n in found.notifications] == [
        ("run/a/finish", 51),
        ("run/b/finish", 2),
    ]
    assert found.requests == 53


@pytest.mark.parametrize(
    ("word", "error", "taken"),
    [
        ("drop", httpx.RemoteProtocolError, 1),
        ("truncate", httpx.RemoteProtocolError, 0),
        ("reset", httpx.ReadError, 0),
        ("hang", httpx.ReadTimeout, 0),
    ],
)
async def test_an_answer_may_get_lost(
    sandbox: SandboxClient,
    http: httpx.AsyncClient,
    word: str,
    error: type[httpx.TransportError],
    taken: int,
) -> None:
    """The caller knows nothing, and only after `drop` are people told; sent again, it is once."""
    await sandbox.configure_notifications(script=[word, "ok"])
    with pytest.raises(error):
        await http.post(**breach(work_order=ORDER), timeout=0.3)
    assert len((await sandbox.notifications()).notifications) == taken
    order = await notify(http, work_order=ORDER)
    (found,) = (await sandbox.notifications()).notifications
    assert (found.work_order_id, found.received) == (order, 2)


@pytest.mark.parametrize(("word", "wait"), [("503", None), ("429:2", "2")])
async def test_every_breach_walks_the_script(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str, wait: str | None
) -> None:
    """A status is a problem that tells nobody, garbage is a 200 of nothing, the last repeats."""
    await sandbox.configure_notifications(script=[word, "garbage", "ok"])
    for name in ("a", "b"):
        refused = await http.post(**breach(name))
        assert (refused.status_code, code_of(refused)) == (int(word[:3]), f"SCRIPTED_{word[:3]}")
        assert refused.headers.get("retry-after") == wait
        assert "<html>" in (await http.post(**breach(name))).text
        assert name not in [n.breach_id for n in (await sandbox.notifications()).notifications]
        for _ in range(2):
            assert await notify(http, name) is None
    found = await sandbox.notifications()
    assert [n.received for n in found.notifications] == [4, 4]
    assert found.requests == 8


async def test_notifications_are_known_after_kill_9(tmp_path: Path) -> None:
    """A killed sandbox tells nobody twice, goes on in the script, and uses no number again."""
    log = tmp_path / "log.jsonl"
    with running(log) as first:
        async with first.clients() as (control, http):
            assert await notify(http, "forgotten", work_order=ORDER) == "WO-1"
            await control.reset()
            await control.configure_notifications(script=["503", "ok"])
            for name in ("a", "b"):
                await http.post(**breach(name))
            assert await notify(http, "a", work_order=ORDER) == "WO-2"
            before = await control.notifications()
        first.kill()
    last = first.lines()[-1]
    assert last == {
        "event": "notification",
        "breach_id": "a",
        "notification": breach("a", work_order=ORDER)["json"],
        "taken": True,
        "work_order_id": "WO-2",
        "outcome": "ok",
        "at": last["at"],
    }
    with running(log) as second:
        async with second.clients() as (control, http):
            assert await control.notifications() == before
            await control.configure_notifications(script=["503", "ok"])
            assert await notify(http, "a") == "WO-2"
            assert await notify(http, "b", work_order=ORDER) == "WO-3"
            assert [n.breach_id for n in (await control.notifications()).notifications] == [
                "a",
                "b",
            ]


async def test_reset_forgets_notifications_and_knobs(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After a reset nobody was told of anything, and the same breach gets another work order."""
    order = await notify(http, work_order=ORDER)
    await sandbox.configure_notifications(script=["503"])
    await sandbox.reset()
    found = await sandbox.notifications()
    assert (found.notifications, found.requests) == ([], 0)
    assert await notify(http, work_order=ORDER) not in {None, order}


async def test_a_notification_that_waits_is_cut_at_the_end(tmp_path: Path) -> None:
    """Neither latency nor a word that hangs holds up the end of the process."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure_notifications(script=["hang"])
            hanging = asyncio.create_task(http.post(**breach("a")))
            async with asyncio.timeout(5):
                while True:
                    if (await control.notifications()).requests:
                        break
                    await asyncio.sleep(0.02)
            await control.configure_notifications(latency=60)
            late = asyncio.create_task(http.post(**breach("b")))
            await asyncio.sleep(0.1)
            assert await asyncio.to_thread(sandbox.stop) == (0, "")
            ends = await asyncio.gather(hanging, late, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    assert [line["breach_id"] for line in sandbox.lines()] == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        {"breach_id": ""},
        {"kind": "LATE"},
        {"severity": "none"},
        {"observed_at": None},
        {"observed_at": 1795399200},
        {"expected_by": "2026-11-23T02:00:00"},
        {"message": None},
        {"work_order": "WO-1"},
        {"run_id": 7},
    ],
    ids=str,
)
async def test_a_body_that_is_not_the_contract_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, change: dict[str, object]
) -> None:
    """What the contract does not say is a 400 that names the field, and no request."""
    call = breach()
    call["json"] |= change
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_NOTIFICATION")
    assert [error["path"] for error in answer.json()["errors"]] == list(change)
    assert (await sandbox.notifications()).requests == 0


@pytest.mark.parametrize("field", list(breach()["json"]))
async def test_a_missing_field_is_refused(http: httpx.AsyncClient, field: str) -> None:
    """All fields are needed; some may be null."""
    call = breach()
    del call["json"][field]
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_NOTIFICATION")


async def test_what_is_no_json_is_refused(http: httpx.AsyncClient) -> None:
    """NaN gets past most parsers, and no JSON can say it."""
    call = breach()
    content = b'{"beside": NaN, ' + httpx.Request("POST", "http://x", json=call["json"]).read()[1:]
    answer = await http.post(call["url"], content=content, headers=call["headers"])
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_NOTIFICATION")


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("traceparent", None, "MISSING_HEADER"),
        ("Idempotency-Key", None, "MISSING_HEADER"),
        ("Idempotency-Key", "another", "INVALID_HEADER"),
    ],
)
async def test_a_call_without_its_headers_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, header: str, value: str | None, code: str
) -> None:
    """Both headers are needed, and the key is the breach id."""
    call = breach()
    if value is None:
        del call["headers"][header]
    else:
        call["headers"][header] = value
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, code)
    assert (await sandbox.notifications()).requests == 0


@pytest.mark.parametrize("script", [["mabye"], ["deny"], ["200"], []], ids=str)
async def test_knobs_that_make_no_sense_are_refused(
    sandbox: SandboxClient, script: list[str]
) -> None:
    """A typo fails the test that made it; words of other services are typos here."""
    with pytest.raises(SandboxError, match=r"is no answer|at least 1 item"):
        await sandbox.configure_notifications(script=script)
