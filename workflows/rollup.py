"""`Rollup`: a shelf with roll-ups; `RollupLook`: one look for days that are over."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from domain.attributes import PIECES_MEMO, ROLLUP, ROLLUP_LOOK
    from domain.rollup import Drop, Keep, LookInput, LookResult, RollupStart, Shelf
    from workflows.interfaces import roll_up_days

SIGNALS_PER_RUN = 100
BYTES_PER_RUN = 5_000_000
"""Of what was laid down; after it a new run goes on with what lies there."""
SILENCE = timedelta(seconds=60)
LONGEST = timedelta(hours=12)
"""Of one look: the first of all counts every day that Temporal has."""


@workflow.defn(name=ROLLUP)
class Rollup:
    """Open for as long as its days are to be known: Temporal forgets what has ended.

    Handlers change the shelf at once and await nothing: a signal is either on the shelf that the
    next run begins with, or delivered to that run.
    """

    @workflow.init
    def __init__(self, start: RollupStart) -> None:
        self._shelf = Shelf(start)
        self._signals = self._bytes = 0
        self._told: list[str] | None = None
        self._ended = False

    @workflow.run
    async def run(self, start: RollupStart) -> None:
        """Show in the memo what lies there, for whoever lists shelves, until the next run."""
        while not (self._ended or self._is_full()):
            if self._has_news():
                self._told = self._shelf.names()
                workflow.upsert_memo({PIECES_MEMO: self._told})
            await workflow.wait_condition(
                lambda: self._has_news() or self._ended or self._is_full()
            )
        if not self._ended:
            memo = {PIECES_MEMO: self._shelf.names()}
            workflow.continue_as_new(self._shelf.all(), memo=memo)

    @workflow.signal
    def keep(self, request: Keep) -> None:
        """Lay these down."""
        self._signals += 1
        self._bytes += sum(piece.size for piece in request.pieces)
        self._shelf.keep(request)

    @workflow.signal
    def drop(self, request: Drop) -> None:
        """Forget older counts of a day."""
        self._signals += 1
        self._shelf.drop(request)

    @workflow.signal
    def end(self) -> None:
        """Nobody is to know of this month any more."""
        self._ended = True

    @workflow.query
    def pieces(self) -> RollupStart:
        """The whole shelf."""
        return self._shelf.all()

    def _has_news(self) -> bool:
        return self._told != self._shelf.names()

    def _is_full(self) -> bool:
        return (
            self._signals >= SIGNALS_PER_RUN
            or self._bytes >= BYTES_PER_RUN
            or workflow.info().is_continue_as_new_suggested()
        )


@workflow.defn(name=ROLLUP_LOOK)
class RollupLook:
    """Carries from look to look when days were last compared with what Temporal lists."""

    @workflow.run
    async def run(self) -> LookResult:
        """Count what is over and was not counted, or has changed since."""
        last = (
            workflow.get_last_completion_result(LookResult)
            if workflow.has_last_completion_result()
            else None
        )
        return await workflow.execute_activity(
            roll_up_days,
            LookInput(now=workflow.now(), checked=last.checked if last else {}),
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=SILENCE,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=5)
            ),
            summary="rolls up days",
        )
