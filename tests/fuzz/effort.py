"""How hard the fuzz tests try, and for how long one input may keep them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Of each test; 0 is the few that `make test` has time for, always the same ones."""


class _Endless(BaseException):
    """Raised wherever the program is; no `except Exception` on the way stops it."""


def effort(few: int, *, slow: int = 1) -> settings:
    """So many examples in `make test`, as many as asked for in `make fuzz`.

    Of those that are so many times as slow as others it is as many less, and none is made smaller.
    """
    return settings(
        phases=[Phase.explicit, Phase.generate] + [Phase.shrink] * (slow == 1),
        max_examples=max(1, EXAMPLES // slow) if EXAMPLES else few,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What happens inside takes no more of the processor than this, else the test fails.

    Time of the processor and not of the clock: others may be busy on the machine.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _Endless

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    except _Endless:
        raise AssertionError(f"it takes more than {seconds:g} s of the processor") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def is_told(error: Exception, most: int = 1000) -> None:
    """A refusal says something, on one line and not for ever."""
    text = str(error)
    assert text.strip()
    assert len(text) < most
    assert "\n" not in text
