"""Long texts as short ASCII: payloads that carry many of them stay below Temporal's 2 MB."""

import base64
import zlib


def pack(text: str) -> str:
    """`text`, compressed."""
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def unpack(packed: str) -> bytes:
    """What `pack` was given, in UTF-8. Errors: `ValueError`."""
    try:
        return zlib.decompress(base64.b64decode(packed))
    except zlib.error as error:
        raise ValueError(f"not a packed text: {error}") from error
