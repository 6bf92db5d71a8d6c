"""Ports: every one is settled before anything starts."""

import errno
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import Refused

HOST = "127.0.0.1"
# Below the range from which systems take the local ports of outgoing connections, and the Temporal
# server a few ports of its own: a free port found in there may be gone before it is used.
FREE_FROM, FREE_TO = 10_240, 32_000
MAX_PORT = 65_535
TRIES = 200


@dataclass(frozen=True)
class Wanted:
    """A port for `part`, set by the command-line `option`; 0 asks for any free one.

    `advice` is appended when it is taken.
    """

    part: str
    option: str
    port: int
    advice: str = ""


def settle(wanted: Sequence[Wanted]) -> list[int]:
    """The port for each, in order.

    Errors: `Refused` that names the part, the port and the option, for one that is taken, wanted
    twice, out of range or not allowed.
    """
    settled = {want.port: want for want in wanted if want.port}
    for want in wanted:
        if not 0 <= want.port <= MAX_PORT:
            raise Refused(
                f"{want.part}: {want.option} {want.port} is not between 0 and {MAX_PORT}."
            )
        if want.port and settled[want.port] is not want:
            other = settled[want.port]
            raise Refused(
                f"{want.part} and {other.part} both want port {want.port}: "
                f"choose another with {want.option} or {other.option}."
            )
        if want.port and (reason := _trouble(want.port)):
            advice = f"Choose another with {want.option}{want.advice}."
            raise Refused(f"{want.part}: port {want.port} on {HOST} {reason}. {advice}")
    taken = set(settled)
    return [want.port or _free(taken) for want in wanted]


def or_any(port: int) -> int:
    """The port, or 0, for any free one, when it cannot be listened on."""
    return port if _trouble(port) is None else 0


def _free(taken: set[int]) -> int:
    """A free port that is not in `taken`, which it then is."""
    for _ in range(TRIES):
        port = FREE_FROM + secrets.randbelow(FREE_TO - FREE_FROM)
        if port not in taken and _trouble(port) is None:
            taken.add(port)
            return port
    raise Refused(f"no free port was found between {FREE_FROM} and {FREE_TO} on {HOST}.")


def _trouble(port: int) -> str | None:
    """Why the port cannot be listened on, or None."""
    with socket.socket() as probe:
        # As servers do: connections of one that has just ended do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken"
            return f"cannot be used ({error.strerror})"
    return None
