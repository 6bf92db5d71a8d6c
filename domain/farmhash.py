"""FarmHash's Fingerprint32, the 32-bit hash that Temporal's server takes its jitter from.

Only for more than 24 bytes: a shorter one never occurs here, and is hashed in other ways.
"""

import struct
from functools import lru_cache

SHORTEST = 25

_C1, _C2 = 0xCC9E2D51, 0x1B873593
_ADDED = 0xE6546B64
_BLOCK = 20
_MASK = 0xFFFFFFFF


def fingerprint32(data: bytes) -> int:
    """The hash of `data`, 0 to 2**32 - 1. Raises ValueError if `data` has 24 bytes or fewer."""
    size = len(data)
    if size < SHORTEST:
        raise ValueError(f"this hash is of {SHORTEST} bytes or more, not of {size}")
    h, g, f = _begun(size, data[-_BLOCK:])
    # Written out, not called: a forecast hashes each of its fires, and calls were most of the time.
    for start in range(0, (size - 1) // _BLOCK * _BLOCK, _BLOCK):
        a, b, c, d, e = struct.unpack_from("<5I", data, start)
        word = d * _C1 & _MASK
        word = (h + a & _MASK) ^ ((word >> 17 | word << 15) * _C2 & _MASK)
        h = (word >> 19 | word << 13) * 5 + _ADDED + e
        word = c * _C1 & _MASK
        word = (g + b & _MASK) ^ ((word >> 17 | word << 15) * _C2 & _MASK)
        g = (word >> 19 | word << 13) * 5 + _ADDED + a
        word = (b + e * _C1) * _C1 & _MASK
        word = (f + c & _MASK) ^ ((word >> 17 | word << 15) * _C2 & _MASK)
        f = (word >> 19 | word << 13) * 5 + _ADDED + d + g
        g += f
    g = _stirred(_rotated(g, 11) * _C1)
    f = _stirred(_rotated(f, 11) * _C1)
    return _stirred(_mixed(_stirred(_mixed(h + g)) + f))


@lru_cache(maxsize=4096)
def _begun(size: int, end: bytes) -> tuple[int, int, int]:
    """The state that the blocks are mixed into; the same for all fires of a schedule."""
    last = [_scrambled(word) for word in struct.unpack("<5I", end)]
    h = _folded(_folded(size, last[4]), last[1])
    g = _folded(_folded(_C1 * size, last[3]), last[2])
    return h, g, (_rotated(_C1 * size + last[0], 19) + 113) & _MASK


def _rotated(word: int, bits: int) -> int:
    """The low 32 bits, rotated to the right."""
    word &= _MASK
    return (word >> bits | word << (32 - bits)) & _MASK


def _scrambled(word: int) -> int:
    return _rotated(word * _C1, 17) * _C2 & _MASK


def _folded(state: int, scrambled: int) -> int:
    return _mixed((state & _MASK) ^ scrambled)


def _mixed(state: int) -> int:
    return (_rotated(state, 19) * 5 + _ADDED) & _MASK


def _stirred(state: int) -> int:
    return _rotated(state, 17) * _C1 & _MASK
