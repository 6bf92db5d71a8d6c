"""What the routes of one process share."""

from dataclasses import dataclass, field
from typing import cast

from fastapi import Request
from prometheus_client import REGISTRY, CollectorRegistry
from temporalio.converter import PayloadCodec

from domain.policy import Policy
from shared.errors import NoWorker
from shared.live import LiveFile
from shared.metrics import ApiMetrics, EventIntakeMetrics
from shared.plugin_secrets import PluginSecrets
from shared.policy import load_policy
from shared.settings import Settings
from shared.temporal import converter_of
from starter.ahead import Ahead
from starter.api.audit import Audit
from starter.api.limits import FAILURES_PER_MINUTE, Buckets
from starter.api.link import TemporalLink
from starter.api.replays import Replays
from starter.authentication import Anonymous
from starter.callers import Authenticator
from starter.recent import Recent
from starter.rules import Rules

AHEAD_SECONDS = 15.0
"""For which a look ahead is good for whoever looks at the console: it may take seconds."""
RULES_SECONDS = 60.0
"""For a look at all event rules: registries without a worker let each be waited for."""


@dataclass(slots=True)
class Context:
    """Made once for an app. `stopping`: the process was told to end; what takes long is cut off."""

    settings: Settings
    authenticator: Authenticator
    plugin_secrets: PluginSecrets = field(repr=False)
    temporal: TemporalLink
    metrics: ApiMetrics
    registry: CollectorRegistry
    requests: Buckets
    failures: Buckets
    policy_file: LiveFile[Policy]
    rules: Rules
    codec: PayloadCodec | None = None
    replays: Replays = field(default_factory=Replays)
    stopping: bool = False
    ahead: Recent[Ahead | NoWorker] = field(default_factory=lambda: Recent(AHEAD_SECONDS))

    @property
    def policy(self) -> Policy:
        """The policy as its file says it now."""
        return self.policy_file.current()

    @property
    def loopback_only(self) -> bool:
        """Nobody is asked who they are: only this machine may ask, and no browser for a page."""
        return isinstance(self.authenticator, Anonymous)


def context_with(
    settings: Settings,
    authenticator: Authenticator,
    *,
    temporal: TemporalLink | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> Context:
    """What the settings come to; `temporal`: another way to Temporal than the environment's.

    Errors: `InvalidInput` for a file that they name and is wrong.
    """
    link = temporal or TemporalLink(settings.temporal_timeout)
    return Context(
        settings=settings,
        authenticator=authenticator,
        plugin_secrets=PluginSecrets(settings.plugin_secret_file),
        temporal=link,
        metrics=ApiMetrics(registry),
        registry=registry,
        requests=Buckets(settings.api_requests_per_minute),
        failures=Buckets(FAILURES_PER_MINUTE),
        policy_file=LiveFile(settings.policy_file, load_policy, "policy"),
        rules=Rules(
            lambda: link.client(RULES_SECONDS), settings.task_queue, EventIntakeMetrics(registry)
        ),
        codec=converter_of(settings).payload_codec,
    )


async def context_of(request: Request) -> Context:
    """The context of the app that answers a request."""
    return cast("Context", request.app.state.context)


async def audit_of(request: Request) -> Audit:
    """What the audit will say of a request."""
    return cast("Audit", request.scope["taskflow.audit"])
