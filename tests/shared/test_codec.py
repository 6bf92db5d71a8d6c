"""Payloads encrypted: by which key, for whom, and what happens to what does not open."""

import base64
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from domain.problems import InvalidInput
from domain.run import TaskRunInput
from shared.codec import CannotDecrypt, encrypting
from shared.codec_keys import Key, KeyRing, change_keys, create_keys, load_keys
from shared.converter import PLAIN_CONVERTER, Encrypted
from shared.errors import NotFound, Refused
from tests.conftest import task_of

OLD, NEW = Key.new("old"), Key.new("2026-01")
CANARY = "canary-4711"


async def test_what_is_encrypted_shows_nothing_and_comes_back() -> None:
    """Only the id of the key and the version of the format are in clear text."""
    converter = encrypting(KeyRing((NEW,)))
    request = TaskRunInput(task=task_of(params={"key": CANARY}))
    [payload] = await converter.encode([request])
    [again] = await converter.encode([request])
    assert dict(payload.metadata) == {
        "encoding": b"binary/encrypted",
        "encryption-key-id": b"2026-01",
        "encryption-version": b"1",
    }
    assert CANARY.encode() not in payload.SerializeToString()
    assert payload.data[:12] != again.data[:12]
    assert await converter.decode([payload], [TaskRunInput]) == [request]


async def test_failures_say_nothing_in_clear_text_but_their_code() -> None:
    """Message, details, traces, and those of their causes."""
    converter, failure = encrypting(KeyRing((NEW,))), Failure()
    raised = ApplicationError(CANARY, {"at": CANARY}, type="BUSY")
    raised.__cause__ = ValueError(f"inner {CANARY}")
    await converter.encode_failure(raised, failure)
    assert CANARY.encode() not in failure.SerializeToString()
    assert failure.application_failure_info.type == "BUSY"
    found = await converter.decode_failure(failure)
    assert isinstance(found, ApplicationError)
    assert (found.message, found.details) == (CANARY, ({"at": CANARY},))


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """So that keys change while runs are under way, and what was never encrypted is read too."""
    [before] = await encrypting(KeyRing((OLD,))).encode([CANARY])
    [plain] = await pydantic_data_converter.encode([CANARY])
    both = encrypting(KeyRing((NEW, OLD)))
    assert await both.decode([before, plain], [str, str]) == [CANARY, CANARY]
    [after] = await both.encode([CANARY])
    assert after.metadata["encryption-key-id"] == b"2026-01"


async def test_plain_reads_everything_and_encrypts_nothing() -> None:
    """What every process is told first when encryption begins, and when it ends."""
    [encrypted] = await encrypting(KeyRing((NEW,))).encode([CANARY])
    converter = encrypting(KeyRing((NEW,), plain=True))
    [payload] = await converter.encode([CANARY])
    assert CANARY.encode() in payload.data
    assert await converter.decode([encrypted, payload], [str, str]) == [CANARY, CANARY]


async def test_what_does_not_open_says_why() -> None:
    """An unknown key, another key of the same id, changed data or metadata, another's format."""
    converter = encrypting(KeyRing((NEW, OLD)))
    [payload] = await converter.encode([CANARY])

    def changed(data: bytes | None = None, **metadata: bytes) -> Payload:
        fields = {**payload.metadata, **{k.replace("_", "-"): v for k, v in metadata.items()}}
        return Payload(metadata=fields, data=payload.data if data is None else data)

    flipped = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    wrong = "was changed, or the key"
    for bad, why in [
        (changed(encryption_key_id=b"lost"), "encrypted with the key 'lost', which is not in"),
        (changed(encryption_key_id=b"old"), wrong),
        (changed(flipped), wrong),
        (changed(payload.data[:5]), wrong),
        (changed(b""), wrong),
        (changed(encryption_version=b"2"), "something else than this version"),
    ]:
        with pytest.raises(CannotDecrypt, match=why):
            await converter.decode([bad])
    other = encrypting(KeyRing((Key.new("2026-01"),)))
    with pytest.raises(CannotDecrypt, match=wrong):
        await other.decode([payload])


async def test_without_keys_encrypted_payloads_are_an_error_that_helps() -> None:
    """Not one about encodings; and everything else is as it was."""
    [payload] = await encrypting(KeyRing((NEW,))).encode([CANARY])
    with pytest.raises(Encrypted, match="set TASKFLOW_CODEC_KEYS_FILE"):
        await PLAIN_CONVERTER.decode([payload], [str])
    request = TaskRunInput(task=task_of())
    assert await PLAIN_CONVERTER.encode([request]) == await pydantic_data_converter.encode(
        [request]
    )


def test_a_file_of_keys_is_made_and_changed(tmp_path: Path) -> None:
    """Its owner's alone; a change keeps every key, and only `use` changes which encrypts."""
    path = tmp_path / "keys"
    first = create_keys(path, "a")
    assert path.stat().st_mode & 0o777 == 0o600
    change_keys(path, lambda ring: ring.with_last(Key.new("b")))
    ring = load_keys(path)
    assert (ring.ids, ring.encrypts) == (["a", "b"], first.encrypts)
    ring = change_keys(path, lambda ring: ring.with_first("b"))
    assert (ring, ring.ids) == (load_keys(path), ["b", "a"])
    plain = change_keys(path, lambda ring: ring.with_first("plain"))
    assert (plain.encrypts, load_keys(path)) == (None, plain)
    with pytest.raises(Refused, match="is there already"):
        create_keys(path, "c")
    for taken in (Key.new("b"), Key.new("plain"), Key.new("A/b")):
        with pytest.raises(Refused, match=repr(taken.key_id)):
            change_keys(path, lambda ring, key=taken: ring.with_last(key))  # type: ignore[misc]
    with pytest.raises(NotFound, match="the file has b, a"):
        change_keys(path, lambda ring: ring.with_first("c"))
    assert load_keys(path) == plain


def test_a_file_that_is_wrong_is_refused_without_showing_keys(tmp_path: Path) -> None:
    """Every line that is wrong, and nothing of what may be a key."""
    key = base64.b64encode(bytes(32)).decode()
    short = base64.b64encode(bytes(31)).decode()
    path = tmp_path / "keys"
    path.write_text(
        f"# keys\n\na {key}\na {key}\nb {short}\n{key}\nc! {key}\nplain\nd {key} more\n"
    )
    with pytest.raises(InvalidInput) as error:
        load_keys(path)
    assert [problem.line for problem in error.value.problems] == [4, 5, 6, 7, 8, 9]
    assert key not in str(error.value)
    assert short not in str(error.value)
    assert key not in repr(Key("a", bytes(32)))
    path.write_text("# none yet\n")
    with pytest.raises(InvalidInput, match="holds no key"):
        load_keys(path)
