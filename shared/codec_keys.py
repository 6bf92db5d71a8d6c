"""Keys of the payload codec: a file with a line `<id> <base64>` for each, the first encrypts."""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from domain.problems import InvalidInput, Problem
from shared.errors import NotFound, Refused, TaskflowError
from shared.files import read_text
from shared.sole_writer import alone, replace_file

KEY_BYTES = 32
PLAIN = "plain"
"""Stands where the first key would: nothing new is encrypted, and what is can be read."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEADER = (
    "# Keys of taskflow's payload codec: the first encrypts, all decrypt.\n"
    "# Whoever can read this file can read everything that Temporal keeps.\n"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of AES-256; it is never shown."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls, key_id: str) -> "Key":
        """A random one."""
        return cls(key_id, secrets.token_bytes(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys in the order of their file; `plain`: none of them encrypts."""

    keys: tuple[Key, ...] = ()
    plain: bool = False

    @property
    def encrypts(self) -> Key | None:
        """The key that new payloads are encrypted with."""
        return None if self.plain or not self.keys else self.keys[0]

    @property
    def ids(self) -> list[str]:
        """The ids of all keys."""
        return [key.key_id for key in self.keys]

    def with_last(self, key: Key) -> "KeyRing":
        """With one more that decrypts only. Errors: `Refused` when the id is taken or no name."""
        if not _ID.fullmatch(key.key_id) or key.key_id == PLAIN:
            rule = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
            raise Refused(f"{key.key_id!r} cannot be the id of a key: write {rule}")
        if key.key_id in self.ids:
            raise Refused(f"there is a key {key.key_id!r} already: choose another id")
        return KeyRing((*self.keys, key), self.plain)

    def with_first(self, key_id: str) -> "KeyRing":
        """With this key encrypting, or none for `plain`. Errors: `NotFound`."""
        if key_id == PLAIN:
            return KeyRing(self.keys, plain=True)
        first = [key for key in self.keys if key.key_id == key_id]
        if not first:
            raise NotFound(f"there is no key {key_id!r}: the file has {', '.join(self.ids)}")
        return KeyRing((*first, *(key for key in self.keys if key.key_id != key_id)))

    def text(self) -> str:
        """The file."""
        lines = [PLAIN] if self.plain else []
        lines += [f"{key.key_id} {base64.b64encode(key.secret).decode()}" for key in self.keys]
        return _HEADER + "".join(f"{line}\n" for line in lines)


def load_keys(path: Path) -> KeyRing:
    """The keys of a file. Errors: `InvalidInput` with every line that is wrong, and no key."""
    keys: list[Key] = []
    problems: list[Problem] = []
    plain = False
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words == [PLAIN]:
            plain = True
            if keys:
                problems.append(Problem((), f"`{PLAIN}` stands before the keys", number))
            continue
        key = _key(words)
        if isinstance(key, str):
            problems.append(Problem((), key, number))
        elif key.key_id in (known.key_id for known in keys):
            problems.append(Problem((), f"the id {key.key_id!r} stands twice", number))
        else:
            keys.append(key)
    if not keys and not problems:
        problems.append(Problem((), "holds no key: `taskflow codec create` makes a file with one"))
    if problems:
        raise InvalidInput(problems, str(path))
    return KeyRing(tuple(keys), plain)


def _key(words: list[str]) -> Key | str:
    """One line, or what is wrong with it; never a part of it that may be a key."""
    try:
        key_id, encoded = words
        secret = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return "must be an id and a key in base64, with a space between them"
    if not _ID.fullmatch(key_id) or key_id == PLAIN:
        return "the id must be 1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
    if len(secret) != KEY_BYTES:
        return f"the key must be {KEY_BYTES} bytes in base64, and has {len(secret)}"
    return Key(key_id, secret)


def create_keys(path: Path, key_id: str) -> KeyRing:
    """A new file, its owner's alone, with one key. Errors: `Refused` when there is a file."""
    if path.exists():
        raise Refused(f"{path} is there already: `taskflow codec add` adds a key to it")
    return _changed(path, lambda _: KeyRing().with_last(Key.new(key_id)))


def change_keys(path: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Put what `change` makes of the keys in their place.

    Errors: those of `load_keys` and `change`; `TaskflowError` when the file cannot be written.
    """
    return _changed(path, lambda real: change(load_keys(real)))


def _changed(path: Path, made_of: Callable[[Path], KeyRing]) -> KeyRing:
    real = Path(os.path.realpath(path))  # a link stays one, and leads to the new file
    try:
        with alone(real):
            ring = made_of(real)
            replace_file(real, ring.text())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TaskflowError(f"{path} cannot be written: {reason}; nothing was changed") from error
    return ring
