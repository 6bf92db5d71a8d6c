"""`Answered`: keeps the answer to one request for as long as Temporal retains what has ended."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.answered import Answer
    from domain.attributes import ANSWERED


@workflow.defn(name=ANSWERED)
class Answered:
    """Its argument is what it keeps: it can be read before any worker has taken this up."""

    @workflow.run
    async def run(self, answer: Answer) -> None:
        """End at once."""
