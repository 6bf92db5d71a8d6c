"""A document of tasks as it comes in by either door: a mapping with `tasks`, or one task alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.document import Document
from domain.policy import Policy
from domain.problems import InvalidInput, Problem
from domain.registration import Registration, read_registration
from starter.suggest import with_suggestions

_TASK_KEYS = {"task_id", "plugin_id", "triggers"}
_FIRST_TASK = ("tasks", 0)


@dataclass(frozen=True, slots=True)
class TaskDocument:
    """Tasks that are right in themselves, and what places the problems that they have with others.

    `alone`: the document is one task, and not a list of them.
    """

    registration: Registration
    source: str
    alone: bool
    _document: Document

    def placed(self, error: InvalidInput) -> InvalidInput:
        """The same problems with their lines, and the paths as they stand in the document."""
        problems = self._document.placed(list(error.problems))
        return placed(problems, self.source, alone=self.alone)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """What is refused inside, is refused with its place in the document."""
        try:
            yield
        except InvalidInput as error:
            raise self.placed(error) from error


def read_task_document(
    document: Document, policy: Policy, *, tenant: str | None = None, source: str = ""
) -> TaskDocument:
    """The tasks of a document; what names no tenant belongs to `tenant`.

    Errors: `InvalidInput` with every problem, the paths as they stand in the document.
    """
    alone = is_one_task(document)
    listed = _listed(document) if alone else document
    try:
        registration = read_registration(listed, policy, tenant=tenant)
    except InvalidInput as error:
        raise placed(error.problems, source, alone=alone) from error
    return TaskDocument(registration, source, alone, listed)


def placed(problems: Iterable[Problem], source: str, *, alone: bool = False) -> InvalidInput:
    """What refuses a document: problems below `tasks[0]` are those of a task that stands alone."""
    own = [_unlisted(problem) for problem in problems] if alone else problems
    return InvalidInput(with_suggestions(own), source)


def is_one_task(document: Document) -> bool:
    """Whether the document is a task itself."""
    data = document.data
    return isinstance(data, dict) and "tasks" not in data and bool(_TASK_KEYS & data.keys())


def _listed(document: Document) -> Document:
    lines = {(*_FIRST_TASK, *path): line for path, line in document.lines.items()}
    return Document({"tasks": [document.data]}, lines)


def _unlisted(problem: Problem) -> Problem:
    path = problem.path
    own = path[2:] if path[:2] == _FIRST_TASK else path
    return Problem(own, problem.message, problem.line)
