"""Encrypts everything that Temporal lets a client encrypt: AES-256-GCM, a random nonce for each.

An encrypted payload is a payload whose metadata has the encoding, the key's id and the version of
this format, and whose data is the nonce and the encrypted original.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from shared.codec_keys import KeyRing, load_keys
from shared.converter import ENCRYPTED, KnowingConverter
from shared.errors import TaskflowError

VERSION = b"1"
KEY_ID, FORMAT = "encryption-key-id", "encryption-version"
_NONCE_BYTES = 12


class CannotDecrypt(TaskflowError):  # noqa: N818 - reads as what happened
    """A payload that these keys do not open: the text says which key does, or what is wrong."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key, decrypts with any; what is not encrypted passes as it is."""

    def __init__(self, ring: KeyRing) -> None:
        self._ciphers = {key.key_id.encode(): AESGCM(key.secret) for key in ring.keys}
        self._first = ring.encrypts.key_id.encode() if ring.encrypts else None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each one encrypted."""
        return [self._encrypt(payload, self._first) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each one as it was. Errors: `CannotDecrypt`."""
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload, key_id: bytes | None) -> Payload:
        if key_id is None:
            return payload
        nonce = os.urandom(_NONCE_BYTES)
        content = self._ciphers[key_id].encrypt(
            nonce, payload.SerializeToString(), _bound(VERSION, key_id)
        )
        metadata = {"encoding": ENCRYPTED.encode(), KEY_ID: key_id, FORMAT: VERSION}
        return Payload(metadata=metadata, data=nonce + content)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCRYPTED.encode():
            return payload
        key_id, version = payload.metadata.get(KEY_ID, b""), payload.metadata.get(FORMAT, b"")
        if version != VERSION:
            raise CannotDecrypt(
                "a payload was encrypted by something else than this version of taskflow"
            )
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotDecrypt(
                f"a payload was encrypted with the key {key_id[:64].decode(errors='replace')!r}, "
                "which is not in the file of codec keys: every process needs all keys"
            )
        nonce, content = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, content, _bound(version, key_id)))
        except (InvalidTag, ValueError, DecodeError):
            raise CannotDecrypt(
                f"a payload was changed, or the key {key_id.decode()!r} is not the one that it was "
                "encrypted with"
            ) from None


def _bound(version: bytes, key_id: bytes) -> bytes:
    """What the encrypted content holds for: with other metadata it does not open."""
    return b"taskflow payload\n" + version + b"\n" + key_id


def encrypting(ring: KeyRing) -> DataConverter:
    """Our models, and the messages and traces of failures, encrypted."""
    return DataConverter(
        payload_converter_class=KnowingConverter,
        payload_codec=EncryptionCodec(ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def encrypting_by(path: Path) -> DataConverter:
    """The same with the keys of a file. Errors: `InvalidInput`."""
    return encrypting(load_keys(path))
