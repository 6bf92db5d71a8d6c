"""Subjects: which ones are consumed, and the tenant that one names."""

import re

from domain.ids import NAME
from domain.problems import InvalidInput, Problem, shown
from shared.settings import Settings

_PART = re.compile(r"[^\s.*>]+")
_ENTITY = re.compile(r"[^\s.*>/\\]+")
"""What NATS takes as the name of a stream and of a consumer."""


def check_names(settings: Settings) -> None:
    """Refuse settings that cannot work, before anything is asked.

    Errors: `InvalidInput` with every problem, by the names of the variables.
    """
    problems: list[Problem] = []

    def wrong(name: str, message: str) -> None:
        value = getattr(settings, name)
        problems.append(Problem((f"TASKFLOW_{name.upper()}",), f"{shown(value)} {message}"))

    for name in ("nats_stream", "nats_durable"):
        if not _ENTITY.fullmatch(getattr(settings, name)):
            wrong(name, "is not a name: no blanks, and none of . * > / \\")
    parts = settings.nats_subject.split(".")
    last = parts[-1]
    if not all(part == "*" or _PART.fullmatch(part) for part in parts):
        # With `>` a tenant whose name holds a full stop would be taken for another.
        wrong("nats_subject", "is not of this form: tokens or * with full stops between them")
    elif last != "*" and not re.fullmatch(NAME, last):
        wrong("nats_subject", "must end in the tenant: with .* for all of them")
    if not all(_PART.fullmatch(part) for part in settings.nats_parked_subject.split(".")):
        wrong("nats_parked_subject", "is not one subject: tokens with full stops between them")
    elif covers(settings.nats_subject, settings.nats_parked_subject):
        wrong("nats_parked_subject", "is consumed itself: what is parked would come back")
    if problems:
        raise InvalidInput(problems)


def covers(pattern: str, subject: str) -> bool:
    """Whether all that goes to `subject`, which may be a pattern too, also matches `pattern`."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    if len(wanted) != len(given):
        return False
    return all(
        want == part or (want == "*" and part != ">")
        for want, part in zip(wanted, given, strict=True)
    )


def tenant_of(subject: str) -> str:
    """The tenant that the last token names. Errors: `InvalidInput`."""
    tenant_id = subject.rpartition(".")[2]
    if not re.fullmatch(NAME, tenant_id):
        message = f"{shown(tenant_id)}, the last token, is not a tenant's name"
        raise InvalidInput([Problem(("subject",), message)])
    return tenant_id
