"""The feature flags, for workflows: they may read no file."""

from temporalio import activity

from activities.plugin import FlagsOf
from domain.attributes import READ_FLAGS
from domain.run import FlagsInput, FlagsNow


class FlagActivities:
    """Local activities of runs; one instance per worker."""

    def __init__(self, flags_of: FlagsOf) -> None:
        self._flags_of = flags_of

    @activity.defn(name=READ_FLAGS)
    async def read_flags(self, request: FlagsInput) -> FlagsNow:
        """As the policy file and the environment say it now."""
        return FlagsNow.model_validate(self._flags_of(request.tenant_id).model_dump())
