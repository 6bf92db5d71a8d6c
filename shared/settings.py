"""Settings of every process, from the environment.

Temporal's own settings (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`,
`TEMPORAL_TLS*`, `TEMPORAL_PROFILE`) are Temporal's to define and are read by `shared.temporal`.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent

_Said = Annotated[str | None, BeforeValidator(lambda said: said or None)]
"""A variable that is set to nothing is left out."""


class Settings(BaseSettings):
    """One field per `TASKFLOW_...` variable; a bad value is refused when the process starts."""

    model_config = SettingsConfigDict(env_prefix="TASKFLOW_", extra="ignore", populate_by_name=True)

    tenant: str | None = Field(None, description="Tenant of commands that name none")
    task_queue: str = Field("taskflow", description="Temporal task queue of runs")
    deployment: _Said = Field(
        None,
        pattern=r"^[A-Za-z0-9][^.\s]*$",
        validation_alias=AliasChoices("TASKFLOW_DEPLOYMENT", "TEMPORAL_DEPLOYMENT_NAME"),
        description="Name of the Temporal worker deployment; without one workers are not versioned",
    )
    build_id: _Said = Field(
        None,
        pattern=r"^\S{1,200}$",
        validation_alias=AliasChoices("TASKFLOW_BUILD_ID", "TEMPORAL_WORKER_BUILD_ID"),
        description="Version of these workers; if left out the release and a digest of its code",
    )
    plugin_url: str = Field(
        "http://127.0.0.1:8089",
        description="Base URL of the plugin runtime; never taken from a task",
    )
    capacity_url: str | None = Field(
        None, description="Base URL of the capacity service; without one nothing is reserved"
    )
    capacity_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds to wait for an answer of the capacity service"
    )
    notifications_url: str | None = Field(
        None,
        description="Base URL of the notification service; without one nobody is told of breaches",
    )
    notifications_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds to wait for an answer of the notification service"
    )
    policy_file: Path = Field(
        ROOT / "config/tasks/default_policy.yaml", description="Defaults, limits and feature flags"
    )
    sinks_file: Path | None = Field(
        None, description="Who is told of state changes; without one nobody is"
    )
    tokens_file: Path | None = Field(
        None, description="Bearer tokens of the API, written by `taskflow tokens`"
    )
    oidc_issuer: str | None = Field(
        None, description="Who issues JWTs that the API takes; without one it takes none"
    )
    oidc_audience: str | None = Field(None, description="Whom such a JWT must be meant for")
    oidc_jwks_url: str | None = Field(
        None, description="Where the issuer's keys are; as its discovery says if left out"
    )
    oidc_algorithms: str = Field(
        "RS256 ES256", description="Signature algorithms that are taken, with spaces between them"
    )
    oidc_tenant_claim: str = Field("tenant_id", description="The claim that names the tenant")
    oidc_scope_claim: str = Field("scope", description="The claim that lists the scopes")
    api_requests_per_minute: int = Field(
        6000, ge=1, description="Requests of one tenant that one API process answers in a minute"
    )
    plugin_secret_file: Path | None = Field(
        None,
        description="Standard Webhooks secrets shared with the plugin runtime, the newest first: "
        "they sign our calls and its reports",
    )
    secrets_dir: Path | None = Field(
        None, description="Folder of secrets, TENANT/NAME, that params name as secret://NAME"
    )
    codec_keys_file: Path | None = Field(
        None, description="Keys that encrypt all payloads in Temporal; without one none is"
    )
    codec_origin: str | None = Field(
        None, description="Origin of the Temporal Web UI that may use the API's codec endpoint"
    )
    temporal_ui_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Base URL of the Temporal Web UI that the console links to; none without it",
    )
    nats_url: str = Field("nats://127.0.0.1:4222", description="Where `taskflow nats` finds NATS")
    nats_creds_file: Path | None = Field(
        None, description="Credentials (JWT and seed) to show to NATS; without it those of the URL"
    )
    nats_stream: str = Field("TASKFLOW_EVENTS", description="The JetStream stream of events")
    nats_subject: str = Field(
        "taskflow.events.*", description="Subjects of events; the last token is the tenant"
    )
    nats_durable: str = Field("taskflow", description="Name of the durable consumer")
    nats_parked_subject: str = Field(
        "taskflow.parked", description="Where events go that can never be taken"
    )
    temporal_binary: Path | None = Field(
        None, description="The temporal binary to run instead of the packaged one"
    )
    temporal_timeout: float = Field(
        10.0, gt=0, description="Seconds to wait for Temporal before saying it is unreachable"
    )
    watch: bool = Field(
        True, description="Whether workers look for fires that were missed and schedules gone"
    )
    watch_starts_per_second: float = Field(
        20.0, gt=0, le=1000, description="Late runs that the watch starts in a second"
    )
    watch_records_per_second: float = Field(
        50.0, gt=0, le=1000, description="Missed and skipped fires that it records in a second"
    )
    watch_unpause: bool = Field(
        False, description="Whether it resumes what was paused in Temporal, and not by taskflow"
    )
    forecast: bool = Field(True, description="Whether workers look ahead for conflicts")
    forecast_hours: float = Field(
        2.0, gt=0, le=72, description="How many hours ahead they look, every five minutes"
    )
    rollups: bool = Field(True, description="Whether workers keep how the tasks of each day did")
    rollup_months: int = Field(
        13, ge=1, le=120, description="For how many months they keep it, beside the present one"
    )
    canary: bool = Field(
        True, description="Whether workers have a probe go the way of runs, every minute"
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of a worker's Prometheus metrics; none if left out"
    )
    metrics_address: str = Field("127.0.0.1", description="Address that the metrics listen on")
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    flag_task_scheduler_v3: bool | None = Field(None, description="Overrides the policy file")
    flag_task_sla_monitor: bool | None = Field(None, description="Overrides the policy file")
    flag_task_retry_queue: bool | None = Field(None, description="Overrides the policy file")

    def flag_overrides(self) -> dict[str, bool]:
        """Feature flags set by the environment, by their names in the policy file."""
        flags = {
            "task-scheduler-v3": self.flag_task_scheduler_v3,
            "task-sla-monitor": self.flag_task_sla_monitor,
            "task-retry-queue": self.flag_task_retry_queue,
        }
        return {name: value for name, value in flags.items() if value is not None}


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
