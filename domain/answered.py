"""What is kept of a request that came with an `Idempotency-Key`, so that it is answered again."""

from pydantic import Field

from domain.payload import Payload


class Answer(Payload):
    """The answer, and the digest of the request that it is to; `body` is packed."""

    request: str
    status: int
    body: str
    headers: dict[str, str] = Field(default_factory=dict)
