"""The sinks file: who is told of state changes, and for how long it is tried."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, HttpUrl, TypeAdapter, ValidationError

from domain.document import Document
from domain.duration import Duration, format_duration
from domain.problems import InvalidInput, Problem, problems_of
from domain.states import RunState
from domain.task import Model, Name

LONGEST_RETRY = timedelta(days=30)
LONGEST_TIMEOUT = timedelta(seconds=60)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _url(text: str) -> str:
    """An http or https URL without credentials; no message repeats it, for it may hold some."""
    try:
        url = _URL.validate_python(text)
    except ValidationError as error:
        raise ValueError("must be a whole http or https URL") from error
    if url.username or url.password:
        raise ValueError("must not hold a user name or password: requests are signed instead")
    return text


def _reference(text: str) -> str:
    """What names a secret; never the secret, and no message repeats it in case that it is."""
    if text.startswith("whsec_"):
        raise ValueError("must say where the secret is, and not the secret itself")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(_reference(text)):
        raise ValueError("must be the name of an environment variable")
    return text


def _path(text: str) -> str:
    if not _reference(text).strip() or "\0" in text:
        raise ValueError("must be the path of a file")
    return text


def _length(most: timedelta) -> AfterValidator:
    def check(length: timedelta) -> timedelta:
        if not timedelta(0) < length <= most:
            raise ValueError(f"must be longer than 0s, and at most {format_duration(most)}")
        return length

    return AfterValidator(check)


class Sink(Model):
    """Somebody who is told. `tenants` and `statuses`: None means all of them.

    `retry_for` counts from the state change, `timeout` is that of one request.
    """

    name: Name
    url: Annotated[str, AfterValidator(_url)]
    secret_env: Annotated[str, AfterValidator(_variable)] | None = None
    secret_file: Annotated[str, AfterValidator(_path)] | None = None
    tenants: Annotated[list[Name], Field(min_length=1)] | None = None
    statuses: Annotated[list[RunState], Field(min_length=1)] | None = None
    retry_for: Annotated[Duration, _length(LONGEST_RETRY)] = timedelta(hours=24)
    timeout: Annotated[Duration, _length(LONGEST_TIMEOUT)] = timedelta(seconds=5)

    def listens_to(self, tenant_id: str) -> bool:
        """Whether it is told of this tenant's runs."""
        return self.tenants is None or tenant_id in self.tenants

    def wants(self, status: RunState) -> bool:
        """Whether it is told of moves to this state."""
        return self.statuses is None or status in self.statuses


class SinksFile(Model):
    """A whole sinks file."""

    sinks: list[Sink]


def read_sinks(document: Document) -> list[Sink]:
    """The sinks of a document. Errors: `InvalidInput` with every problem."""
    problems = list(_problems_between(document.data))
    sinks: list[Sink] = []
    try:
        sinks = SinksFile.model_validate(document.data).sinks
    except ValidationError as error:
        problems += problems_of(error)
    if problems:
        raise InvalidInput(document.placed(problems))
    return sinks


def _problems_between(data: Any) -> Iterator[Problem]:
    """What is wrong with keys together, whatever is wrong with each of them."""
    sinks = data.get("sinks") if isinstance(data, dict) else None
    names: dict[str, int] = {}
    for index, sink in enumerate(sinks if isinstance(sinks, list) else ()):
        if not isinstance(sink, dict):
            continue
        said = [key for key in ("secret_env", "secret_file") if sink.get(key) is not None]
        if not said:
            yield Problem(("sinks", index), "needs a secret_env or a secret_file")
        elif len(said) > 1:
            message = "has a secret_env and a secret_file: one of them is enough"
            yield Problem(("sinks", index), message)
        name = sink.get("name")
        if isinstance(name, str):
            first = names.setdefault(name, index)
            if first != index:
                yield Problem(("sinks", index, "name"), f"is the name of sinks[{first}] too")
