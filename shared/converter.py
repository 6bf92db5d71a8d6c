"""How our models become Temporal's payloads where nothing is encrypted."""

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    EncodingPayloadConverter,
)

from shared.errors import TaskflowError

ENCRYPTED = "binary/encrypted"
"""The encoding of payloads that a codec encrypted."""


class Encrypted(TaskflowError):  # noqa: N818 - reads as what was found
    """What was read is encrypted, and this process has no keys."""


class _Unreadable(EncodingPayloadConverter):
    @property
    def encoding(self) -> str:
        return ENCRYPTED

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        raise Encrypted(
            "what Temporal keeps is encrypted, and this process has no keys: "
            "set TASKFLOW_CODEC_KEYS_FILE to the file that the others use"
        )


_UNREADABLE = _Unreadable()
_KNOWING = PydanticPayloadConverter()
"""Knows how to read and write each type that it met; it is safe in many threads."""


class KnowingConverter(CompositePayloadConverter):
    """Our models, by what the whole process knows of them.

    The SDK makes a converter of this class for each activation of each run. One of its own would
    learn there how to read a run's input, which takes longer than to read it.
    """

    def __init__(self) -> None:
        super().__init__(*_KNOWING.converters.values())


class _PlainConverter(CompositePayloadConverter):
    """The same; says what is missing where the SDK would speak of an unknown encoding."""

    def __init__(self) -> None:
        super().__init__(*_KNOWING.converters.values(), _UNREADABLE)


PLAIN_CONVERTER = DataConverter(payload_converter_class=_PlainConverter)
"""What payloads were without keys, are, and can be read by."""
