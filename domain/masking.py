"""Taking the values of secrets out of what others say, before it is kept or shown."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from pydantic import JsonValue

from domain.references import reference_to

LEAST_MASKED = 6
"""Characters of a value, or of a line of one: what is shorter stands in innocent text too."""


class Mask:
    """Knows some secrets and puts their references in the place of their values.

    Finds a value as it is, each line of one that has several, and both as JSON, URLs and base64
    write them.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        found: dict[str, str] = {}
        for name, value in values.items():
            for form in _forms(value):
                found.setdefault(form, f"[{reference_to(name)}]")
        self._references = found
        # The longest first: one value may be the beginning of another.
        forms = sorted(found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms))) if forms else None

    def text(self, text: str) -> str:
        """A text without the values."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._references[match[0]], text)

    def json(self, value: JsonValue) -> JsonValue:
        """The same for texts, keys and numbers at any depth."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.json(inner) for key, inner in value.items()}
            case list():
                return [self.json(inner) for inner in value]
            case bool() | None:
                return value
        text = json.dumps(value)
        masked = self.text(text)
        return value if masked == text else masked


NOTHING = Mask({})
"""Knows no secret."""


def _forms(value: str) -> Iterator[str]:
    for part in {value, *(line.strip() for line in value.splitlines())}:
        if len(part) < LEAST_MASKED:
            continue
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield quote(part, safe="")
        yield quote_plus(part)
        yield from (form for form in _base64_forms(part.encode()) if len(form) >= LEAST_MASKED)


def _base64_forms(content: bytes) -> Iterator[str]:
    """What is the same wherever the content begins within a longer one, such as `user:password`."""
    for before in range(3):
        encoded = b64encode(bytes(before) + content)
        first = -(-before * 8 // 6)
        whole = (before + len(content)) * 8 // 6
        form = encoded[first:whole].decode()
        yield form
        yield form.translate({ord("+"): "-", ord("/"): "_"})
