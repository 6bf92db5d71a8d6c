"""What a canary does on its way."""

from temporalio import activity

from domain.attributes import PROBE


@activity.defn(name=PROBE)
async def probe() -> None:
    """Be done."""
