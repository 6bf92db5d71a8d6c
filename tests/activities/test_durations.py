"""How long a run may take is asked of Temporal once a minute for a task, not by each late run."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from activities import durations
from activities.durations import FRESH_SECONDS, PAUSE_SECONDS, DurationActivities
from domain.durations import Expected, ExpectInput


class Lists:
    """What Temporal's lists say of tasks, and how often they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.known: Expected | None = Expected(1.0, 2.0, "learned")
        self.error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def learn(self, _client: Any, tenant_id: str, task_id: str) -> Expected | None:
        """As `learn_duration`."""
        self.asked.append((tenant_id, task_id))
        await self.go_on.wait()
        if self.error:
            raise self.error
        return self.known


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    """Instead of a server."""
    found = Lists()
    monkeypatch.setattr(durations, "learn_duration", found.learn)
    return found


class Asking(DurationActivities):
    """With a clock of our own."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(None, clock=lambda: self.now)  # type: ignore[arg-type]

    async def of(self, task_id: str = "report", prior: timedelta | None = None) -> float | None:
        """The answer for a task, when it may be asked for."""
        self.now += PAUSE_SECONDS
        return await self.at_once(task_id, prior)

    async def at_once(self, task_id: str, prior: timedelta | None = None) -> float | None:
        """The answer for a task."""
        asked = ExpectInput(tenant_id="acme", task_id=task_id, prior=prior)
        return (await self.expect_duration(asked)).p95_s


async def test_late_runs_of_one_task_are_one_question(lists: Lists) -> None:
    """Those that ask while it is asked get the same answer, and those of the next minute too."""
    asking = Asking()
    lists.go_on.clear()
    together = [asyncio.create_task(asking.of()) for _ in range(20)]
    await asyncio.sleep(0)
    lists.go_on.set()
    assert await asyncio.gather(*together) == [2.0] * 20
    asking.now += FRESH_SECONDS - 1
    assert await asking.of() == 2.0
    assert lists.asked == [("acme", "report")]
    await asking.of("other")
    assert lists.asked[1:] == [("acme", "other")]


async def test_a_thousand_late_runs_are_few_questions(lists: Lists) -> None:
    """One each half second; meanwhile tasks are taken at their word, or at what was known."""
    asking, said = Asking(), timedelta(seconds=7)
    answers = [await asking.at_once(f"t{n}", said) for n in range(1000)]
    assert answers == [2.0] + [7.0] * 999
    assert await asking.of("t500", said) == 2.0
    asking.now += FRESH_SECONDS
    assert await asking.at_once("other") == 2.0
    assert await asking.at_once("t500", said) == 2.0
    assert lists.asked == [("acme", "t0"), ("acme", "t500"), ("acme", "other")]


async def test_after_a_minute_it_is_asked_again(lists: Lists) -> None:
    """What changed meanwhile is learned."""
    asking = Asking()
    await asking.of()
    lists.known = Expected(5.0, 9.0, "learned")
    asking.now += FRESH_SECONDS
    assert await asking.of() == 9.0


async def test_too_few_runs_are_not_kept(lists: Lists) -> None:
    """The task's own word holds until there are more, which may be with the next run."""
    asking = Asking()
    lists.known = None
    assert await asking.of(prior=timedelta(seconds=7)) == 7.0
    assert await asking.of() is None
    lists.known = Expected(1.0, 3.0, "learned")
    assert await asking.of() == 3.0


async def test_a_failure_is_not_kept_either(lists: Lists) -> None:
    """Temporal asks again, and gets what there is then."""
    asking = Asking()
    lists.error = OSError("lost")
    with pytest.raises(OSError, match="lost"):
        await asking.of()
    lists.error = None
    assert await asking.of() == 2.0


async def test_one_that_gives_up_leaves_the_others_their_answer(lists: Lists) -> None:
    """A run that is cancelled while it asks."""
    asking = Asking()
    lists.go_on.clear()
    first, second = (asyncio.create_task(asking.of()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    lists.go_on.set()
    assert await second == 2.0
    assert first.cancelled()
    assert len(lists.asked) == 1
