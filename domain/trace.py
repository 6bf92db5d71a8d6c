"""W3C trace context derived from a run's identity, so that every process names the same trace.

The ids of spans are derived as well: whoever tells of one, and however often, it is the same span.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


def trace_id(run_id: str, temporal_run_id: str) -> str:
    """32 hex digits, the same wherever and however often they are worked out."""
    return blake2b(f"{run_id}\n{temporal_run_id}".encode(), digest_size=16).hexdigest()


def span_id(trace: str, *what: object) -> str:
    """16 hex digits: the span of a trace that is about this."""
    named = "\n".join([trace, *map(str, what)])
    return blake2b(named.encode(), digest_size=8).hexdigest()


def trigger_span(trace: str) -> str:
    """What made the run: the first span of its trace."""
    return span_id(trace, "trigger")


def run_span(trace: str) -> str:
    """The run itself, from its start to its end."""
    return span_id(trace, "run")


def attempt_span(trace: str, attempt: int, *, compensates: bool = False) -> str:
    """One attempt, of the run or of its compensation; before the first one it is the run itself."""
    if not attempt:
        return run_span(trace)
    return span_id(trace, "compensation", attempt) if compensates else span_id(trace, attempt)


def call_span(trace: str, workflow_id: str, activity_id: str, attempt: int) -> str:
    """One execution of an activity, as Temporal numbers it."""
    return span_id(trace, "call", workflow_id, activity_id, attempt)


def traceparent(
    trace: str, attempt: int, *, compensates: bool = False, sampled: bool = True
) -> str:
    """The `traceparent` header of one attempt."""
    return header(trace, attempt_span(trace, attempt, compensates=compensates), sampled=sampled)


def header(trace: str, span: str, *, sampled: bool = True) -> str:
    """A `traceparent`, version 00. `sampled`: whether whoever gets it should record it, too."""
    return f"00-{trace}-{span}-{'01' if sampled else '00'}"


@dataclass(frozen=True, slots=True)
class Parent:
    """What a `traceparent` says."""

    trace: str
    span: str
    sampled: bool


def parse_traceparent(text: str) -> Parent | None:
    """None for what is no valid one: whoever gets such begins a trace of their own."""
    found = _TRACEPARENT.fullmatch(text)
    if not found or (text[:2] == "00" and found[4]):
        return None
    trace, span, flags = found[1], found[2], found[3]
    if not int(trace, 16) or not int(span, 16):
        return None
    return Parent(trace, span, bool(int(flags, 16) & _SAMPLED))
