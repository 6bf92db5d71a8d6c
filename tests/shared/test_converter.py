"""Reading payloads: what one converter learned the next one of the process knows."""

from temporalio.converter import DataConverter

from domain.run import ExecuteResult
from domain.states import RunState
from shared.codec import encrypting
from shared.codec_keys import KeyRing
from shared.converter import PLAIN_CONVERTER


def _fresh(converter: DataConverter) -> DataConverter:
    """Another one like it, as the SDK makes one for each activation."""
    return DataConverter(payload_converter_class=converter.payload_converter_class)


def test_a_converter_that_was_just_made_uses_what_others_learned() -> None:
    """The part that reads our models is the same object in all, with or without encryption."""
    makers = [kind.payload_converter_class for kind in (PLAIN_CONVERTER, encrypting(KeyRing()))]
    parts = {
        id(made.converters[b"json/plain"])  # type: ignore[attr-defined]
        for make in makers
        for made in (make(), make())
    }
    assert len(parts) == 1


def test_what_one_wrote_another_reads() -> None:
    """A model comes out as it went in."""
    said = ExecuteResult(status=RunState.SUCCESS, attempt=1, result={"rows": [1, 2]})
    [payload] = _fresh(PLAIN_CONVERTER).payload_converter.to_payloads([said])
    [read] = _fresh(PLAIN_CONVERTER).payload_converter.from_payloads([payload], [ExecuteResult])
    assert read == said
