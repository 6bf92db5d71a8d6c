"""Parking: a message that can never be taken goes aside, with what is wrong with it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from domain.problems import InvalidInput
from starter.nats.stream import stream_of

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

log = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds for NATS to keep a parked message."""
MAX_REASON = 1000
MAX_HEADERS = 8 * 1024
"""Bytes of the sender's own headers that go along."""
CUT_BYTES = 16 * 1024
"""What is kept of a body that cannot be kept whole; the original stays in its stream."""
_ROOM = 4 * 1024
"""Bytes for our own headers and the protocol's."""


class Parking:
    """Publishes to one subject, and knows whether a stream keeps it."""

    def __init__(self, connection: Client, js: JetStreamContext, subject: str) -> None:
        self._connection = connection
        self._js = js
        self._subject = subject

    async def park(self, message: Msg, why: InvalidInput) -> bool:
        """Whether the message is kept; False when no stream keeps the subject.

        Errors: those of the client, when it cannot be told now.
        """
        headers = parked_headers(message, why)
        try:
            await self._publish(message.data, headers)
        except NoStreamResponseError:
            if await stream_of(self._js, self._subject) is not None:
                raise  # it is kept by one that does not answer now
            return False
        return True

    async def _publish(self, body: bytes, headers: dict[str, str]) -> None:
        most = self._connection.max_payload - _size(headers) - _ROOM
        if len(body) <= most:
            try:
                await self._js.publish(self._subject, body, timeout=PATIENCE, headers=headers)
            except APIError as error:
                # The stream may take smaller messages than the one that it came from.
                log.warning("parked message refused", action="parked_refused", reason=str(error))
            else:
                return
        said = headers | {"Taskflow-Parked-Cut": str(len(body))}
        cut = body[: max(0, min(CUT_BYTES, most))]
        await self._js.publish(self._subject, cut, timeout=PATIENCE, headers=said)


def parked_headers(message: Msg, why: InvalidInput) -> dict[str, str]:
    """Why, where from, when; and the sender's own headers, but those that NATS acts on."""
    about = message.metadata
    return {
        **_kept(message.headers or {}),
        # Parked again after a crash, it is stored once.
        "Nats-Msg-Id": f"parked/{about.stream}/{about.sequence.stream}",
        "Taskflow-Parked-Reason": _line(str(why), MAX_REASON),
        "Taskflow-Parked-Subject": _line(message.subject, MAX_REASON),
        "Taskflow-Parked-Stream": about.stream,
        "Taskflow-Parked-Sequence": str(about.sequence.stream),
        "Taskflow-Parked-Deliveries": str(about.num_delivered),
        "Taskflow-Parked-Stored-At": about.timestamp.isoformat().replace("+00:00", "Z"),
        "Taskflow-Parked-At": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if _is_the_senders(name)}
    return kept if _size(kept) <= MAX_HEADERS else {}


def _is_the_senders(name: str) -> bool:
    """Whether a header tells NATS nothing, and us neither."""
    ours = name.lower().startswith(("nats-", "taskflow-parked-")) or name.lower() == "status"
    return not ours and _NAME.fullmatch(name) is not None


def _line(text: str, most: int) -> str:
    """Text of anybody as the value of a header: printable ASCII on one line."""
    line = text.encode("ascii", "backslashreplace").decode()
    line = "".join(char if char.isprintable() else " " for char in line)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _size(headers: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
