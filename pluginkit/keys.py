"""The rules of idempotency keys, without I/O.

Work is done once for each key. What ended for good is answered again; what is under way is waited
for; what failed and may be tried again is done anew. A delivery whose fence is below the highest
that its key came with is stale: it is refused, whatever became of the work.
"""

from dataclasses import dataclass, replace

from pluginkit.answers import Answer
from pluginkit.problems import Problem


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a key.

    `fence` is the highest that it came with; `answer` the first one that stands for good.
    """

    fence: int = 0
    answer: Answer | None = None

    def seen(self, fence: int) -> "Memory":
        """After a delivery with this fence."""
        return replace(self, fence=fence) if fence > self.fence else self

    def ended(self, answer: Answer) -> "Memory":
        """After work for the key. What was cancelled stays so, unless it was done all the same."""
        counts = answer.status == "SUCCESS" if self.answer else answer.stands
        return replace(self, answer=answer) if counts else self


def is_stale(fence: int, highest: int) -> bool:
    """Whether a delivery was overtaken: a higher fence was seen for its key."""
    return fence < highest


def check_fence(fence: int, highest: int) -> None:
    """Raises Problem 409 for a stale delivery."""
    if is_stale(fence, highest):
        raise stale(fence, highest)


def stale(fence: int, highest: int) -> Problem:
    """The refusal of a stale delivery."""
    return Problem(409, "STALE_FENCE", f"fence {fence} is below {highest}, seen for this key")
