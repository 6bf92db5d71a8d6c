"""Holding a run at a safe point: by whom, since when, why, and for how long in all."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

from domain.run import PauseInput


class Pause:
    """What people said about holding a run; asking twice renews the words."""

    def __init__(self) -> None:
        self.asked: PauseInput | None = None

    @property
    def wanted(self) -> bool:
        """Whether the run is to hold at its next safe point."""
        return self.asked is not None

    def pause(self, asked: PauseInput) -> None:
        """From now on."""
        self.asked = asked

    def resume(self) -> None:
        """No longer."""
        self.asked = None

    def told(self) -> str:
        """In words: who, when, why."""
        if self.asked is None:
            return ""
        why = f": {self.asked.reason}" if self.asked.reason else ""
        return f"paused by {self.asked.by} at {self.asked.at:%Y-%m-%d %H:%M:%S} UTC{why}"

    async def hold(self, show: Callable[[str], None]) -> timedelta:
        """Return when the run may go on, and how long it was held."""
        began = workflow.now()
        while self.asked is not None:
            said = self.asked
            show(self.told())
            await workflow.wait_condition(lambda said=said: self.asked is not said)  # type: ignore[misc]
        return workflow.now() - began
