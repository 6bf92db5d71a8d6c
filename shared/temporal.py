"""Connecting to Temporal: address, TLS and API key by Temporal's own variables and profiles."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime

from shared import tracing
from shared.converter import PLAIN_CONVERTER
from shared.errors import TaskflowError, TemporalUnreachable
from shared.settings import Settings, get_settings

DEFAULT_ADDRESS = "127.0.0.1:7233"


def connect_options() -> dict[str, object]:
    """Keyword arguments for `Client.connect`; an unreadable profile is a `TaskflowError`."""
    try:
        options: dict[str, object] = dict(ClientConfig.load_client_connect_config())
    except (RuntimeError, ValueError, OSError) as error:
        raise TaskflowError(
            f"the Temporal client configuration cannot be read: {error}. "
            "Check TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE and the other TEMPORAL_ variables."
        ) from error
    options.setdefault("target_host", DEFAULT_ADDRESS)
    return options


def names_a_server() -> bool:
    """Whether the environment or a client profile says which Temporal server to use."""
    return "target_host" in dict(ClientConfig.load_client_connect_config())


def address() -> str:
    """The address that `connect` would use."""
    return str(connect_options()["target_host"])


async def connect(*, patience: float = 10.0, runtime: Runtime | None = None) -> Client:
    """A client that speaks our pydantic models, encrypted when the settings name keys.

    Errors: `TemporalUnreachable` after `patience` seconds or a refused connection, `InvalidInput`
    for a file of keys that is wrong.
    """
    options, converter = connect_options(), converter_of(get_settings())
    target = str(options["target_host"])
    try:
        return await Client.connect(
            **options,  # type: ignore[arg-type]  # the dictionary is Temporal's own TypedDict
            data_converter=converter,
            interceptors=tracing.interceptors(),
            connect_timeout=timedelta(seconds=patience),
            runtime=runtime,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise TemporalUnreachable(
            f"Temporal does not answer at {target} ({_reason(error)}). "
            "Start one with `taskflow dev`, or name yours with TEMPORAL_ADDRESS."
        ) from error


def converter_of(settings: Settings) -> DataConverter:
    """What clients with these settings write and read payloads with. Errors: `InvalidInput`."""
    if settings.codec_keys_file is None:
        return PLAIN_CONVERTER
    # Loaded by those that need it: the library takes a command 35 ms.
    from shared.codec import encrypting_by  # noqa: PLC0415 - see above

    return encrypting_by(settings.codec_keys_file)


def namespace() -> str:
    """The namespace that `connect` would use."""
    return str(connect_options().get("namespace", "default"))


def _reason(error: BaseException) -> str:
    text = str(error)
    for known in (
        "Connection refused",
        "timed out",
        "certificate",
        "dns error",
        "PermissionDenied",
    ):
        if known.lower() in text.lower():
            return known.lower()
    return text.splitlines()[0][:160] if text else type(error).__name__
