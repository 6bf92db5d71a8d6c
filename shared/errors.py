"""The errors a person sees, drawn as one tree.

Each becomes an exit code in `starter.cli.errors` and nowhere else.
"""


class TaskflowError(Exception):
    """Something the person can act on: its text says what was wrong, where, and what to do."""


class Refused(TaskflowError):  # noqa: N818 - reads as what happened, not as what is broken
    """The request is understood and declined; nothing was changed."""


class NotFound(Refused):
    """The task, run or plugin named does not exist for this tenant."""


class Conflict(Refused):
    """What was asked no longer fits the state of things; `code` says how, for machines."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NoWorker(TaskflowError):  # noqa: N818 - as above
    """No worker answers, and what was asked only a worker can say."""


class TemporalUnreachable(TaskflowError):  # noqa: N818 - as above
    """Temporal did not answer; nothing is known to have changed."""
