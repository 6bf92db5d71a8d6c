"""The run's side of admission: asking its tenant's governor, and giving back."""

import time
from collections.abc import Callable

import structlog
from temporalio import activity

from domain.attributes import ASK_GOVERNOR, RELEASE_GRANT
from domain.governor import Answer, AskInput, Degraded, ReleaseInput
from shared.governor import Governors, GovernorUnavailable
from shared.metrics import AdmissionMetrics

log = structlog.get_logger(__name__)

DegradedOf = Callable[[str], Degraded]
"""A tenant's policy for when nobody can decide, as it is now."""


class AdmissionActivities:
    """Local activities of runs; one instance per worker."""

    def __init__(
        self,
        governors: Governors,
        degraded_of: DegradedOf,
        metrics: AdmissionMetrics,
        *,
        capacity: bool,
        listens: Callable[[str], bool],
    ) -> None:
        """`capacity`: whether this worker is configured for a capacity service; `listens`: whether
        anybody is told of a tenant's runs.
        """
        self._governors = governors
        self._degraded_of = degraded_of
        self._metrics = metrics
        self._capacity = capacity
        self._listens = listens

    @activity.defn(name=ASK_GOVERNOR)
    async def ask_governor(self, request: AskInput) -> Answer:
        """One question; an answer always comes, if only that nobody can decide."""
        degraded = self._degraded_of(request.tenant_id)
        began = time.perf_counter()
        try:
            answer = await self._governors.ask(request.tenant_id, request.request)
            self._metrics.waited(time.perf_counter() - began)
        except GovernorUnavailable as error:
            log.warning(
                "nobody decides",
                action="admission_unavailable",
                tenant_id=request.tenant_id,
                task_id=request.request.task_id,
                run_id=request.request.run_id,
                reason=str(error),
            )
            answer = Answer(kind="unavailable", reason=str(error))
            self._metrics.degraded(degraded)
        if not request.again:
            self._metrics.answered(answer)
        return answer.model_copy(
            update={
                "degraded": degraded,
                "capacity": self._capacity,
                "listens": self._listens(request.tenant_id),
            }
        )

    @activity.defn(name=RELEASE_GRANT)
    async def release_grant(self, request: ReleaseInput) -> None:
        """Give back. Errors: `RPCError`, and Temporal tries it again."""
        if request.degraded:
            self._metrics.degraded(request.degraded)
        await self._governors.release(request.tenant_id, request.run_id)
