"""Latencies in few numbers that add up: buckets which grow with what they hold.

A latency that was rolled up reads within `ERROR` of itself, however many roll-ups were merged:
merging adds the counts of buckets, which loses nothing more.
"""

from functools import cache
from math import log

from domain.levels import Latencies

GROWTH = 1.04
"""Each bucket's latencies are so many times those of the one before."""
ERROR = 0.02
"""The share of itself by which a latency may read wrong: half of that growth."""
_NOTHING = -1
"""The bucket of what took no millisecond."""


def bucket_of(milliseconds: float) -> int:
    """The number of its bucket."""
    return _NOTHING if milliseconds < 1 else round(log(milliseconds) / log(GROWTH))


@cache
def latency_of(bucket: int) -> float:
    """Milliseconds that stand for all of a bucket."""
    return 0 if bucket == _NOTHING else round(GROWTH**bucket, 3)


def sketch_of(latencies: Latencies) -> list[int]:
    """Buckets and counts in turn, in order."""
    counts: dict[int, int] = {}
    for milliseconds, count in latencies.counts():
        bucket = bucket_of(milliseconds)
        counts[bucket] = counts.get(bucket, 0) + count
    return [number for pair in sorted(counts.items()) for number in pair]


def add_sketch(latencies: Latencies, sketch: list[int]) -> None:
    """`sketch_of` backwards, added to others."""
    for bucket, count in zip(sketch[::2], sketch[1::2], strict=True):
        latencies.put(latency_of(bucket), count)
