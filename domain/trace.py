"""W3C trace context derived from a run's identity, so that every process names the same trace."""

from hashlib import blake2b


def trace_id(run_id: str, temporal_run_id: str) -> str:
    """32 hex digits, the same wherever and however often they are worked out."""
    return blake2b(f"{run_id}\n{temporal_run_id}".encode(), digest_size=16).hexdigest()


def traceparent(trace: str, attempt: int) -> str:
    """The `traceparent` header of one attempt: version 00, sampled."""
    span = blake2b(f"{trace}\n{attempt}".encode(), digest_size=8).hexdigest()
    return f"00-{trace}-{span}-01"
