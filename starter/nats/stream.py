"""The stream of events and the durable consumer: found, made where that is wanted, or refused."""

from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from shared.errors import NotFound, Refused
from shared.settings import Settings
from starter.nats.subjects import covers

ACK_WAIT = 30.0
"""Seconds after which NATS delivers an event again that a dead process had."""

MAX_ACK_PENDING = 10_000
"""Events under way at once; those that wait to be delivered again count, too."""

KEPT_SECONDS = 14 * 24 * 3600.0
"""How long streams that are made here keep their messages."""


@dataclass(frozen=True, slots=True)
class Durable:
    """What the process must know of its consumer: after how many seconds a message comes again."""

    ack_wait: float


async def make_streams(js: JetStreamContext, settings: Settings) -> list[str]:
    """Make the stream of events, and one for what is parked, where there is none; their names.

    Two streams: what is parked must never take the place of what is to be taken.
    """
    made = []
    for name, subject in (
        (settings.nats_stream, settings.nats_subject),
        (f"{settings.nats_stream}_PARKED", settings.nats_parked_subject),
    ):
        if not await _is_kept(js, name, subject):
            await js.add_stream(
                StreamConfig(
                    name=name,
                    subjects=[subject],
                    storage=StorageType.FILE,
                    retention=RetentionPolicy.LIMITS,
                    max_age=KEPT_SECONDS,
                )
            )
            made.append(name)
    return made


async def find_durable(js: JetStreamContext, settings: Settings) -> Durable:
    """The durable consumer, made when there is none.

    Errors: `NotFound` for the stream, `Refused` for one that does not keep our subject and for a
    consumer of that name that cannot do the work.
    """
    stream, durable, subject = (
        settings.nats_stream,
        settings.nats_durable,
        settings.nats_subject,
    )
    await _check_stream(js, stream, subject)
    try:
        found = (await js.consumer_info(stream, durable)).config
    except NotFoundError:
        made = await js.add_consumer(
            stream,
            ConsumerConfig(
                name=durable,
                durable_name=durable,
                filter_subject=subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT,
                max_ack_pending=MAX_ACK_PENDING,
            ),
        )
        found = made.config
    if unfit := unfitness(found, subject):
        raise Refused(
            f"the consumer {durable} of the stream {stream} cannot be used: {'; '.join(unfit)}. "
            "Name another with TASKFLOW_NATS_DURABLE, or delete it and one that fits is made: "
            f"nats consumer rm {stream} {durable}"
        )
    return Durable(ack_wait=min([found.ack_wait or ACK_WAIT, *(found.backoff or [])]))


def unfitness(config: ConsumerConfig, subject: str) -> list[str]:
    """Why events could be lost or missed by a consumer that is there; anything else is its own."""
    unfit = []
    if config.deliver_subject:
        unfit.append("it pushes, and must be pulled from")
    if config.ack_policy != AckPolicy.EXPLICIT:
        unfit.append(f"its ack policy is {config.ack_policy}, and must be explicit")
    filters = config.filter_subjects or [config.filter_subject or ">"]
    if filters != [subject]:
        unfit.append(f"it filters {', '.join(filters)}, and must filter {subject}")
    if (config.max_deliver or -1) > 0:
        unfit.append(f"it gives an event up after {config.max_deliver} deliveries, and must not")
    if config.headers_only:
        unfit.append("it delivers headers only")
    return unfit


async def _check_stream(js: JetStreamContext, stream: str, subject: str) -> None:
    try:
        kept = (await js.stream_info(stream)).config.subjects
    except NotFoundError:
        raise NotFound(
            f"there is no stream {stream} in NATS. Make it with `taskflow nats --create-stream`, "
            f"or as you need it: nats stream add {stream} --subjects '{subject}' --storage file"
        ) from None
    # A mirror, and a stream of sources, has no subjects of its own.
    if kept and not any(covers(pattern, subject) for pattern in kept):
        raise Refused(
            f"the stream {stream} keeps {', '.join(kept)} and not {subject}: "
            "set TASKFLOW_NATS_SUBJECT or TASKFLOW_NATS_STREAM, or add the subject to the stream"
        )


async def _is_kept(js: JetStreamContext, name: str, subject: str) -> bool:
    """Whether the stream is there, or another one that keeps the subject."""
    try:
        await js.stream_info(name)
    except NotFoundError:
        return await stream_of(js, subject) is not None
    return True


async def stream_of(js: JetStreamContext, subject: str) -> str | None:
    """The stream that keeps a subject, None when there is none."""
    try:
        return await js.find_stream_name_by_subject(subject)
    except NotFoundError:
        return None
