"""Which tasks an event starts: the event triggers of all tasks, found by tenant and type."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import cast

from domain.events_in import CloudEvent
from domain.filters import Filter, FilterFailed, Seen, compile_filter
from domain.task import EventTrigger, Task

_COMPILED = 20_000
"""Filters that are kept compiled, of a few KiB each."""


@dataclass(frozen=True, slots=True)
class RuleSource:
    """A task as events need to know it: with what its runs are started, and whether it is paused.

    `limited`: its tenant has a `max_concurrent`, so that every run of its asks for admission.
    """

    task: Task
    weight: float
    task_queue: str
    paused: bool
    limited: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One event trigger of a task; `index` is its place among the task's triggers."""

    source: RuleSource
    index: int

    @property
    def trigger(self) -> EventTrigger:
        """What the task says."""
        return cast(EventTrigger, self.source.task.triggers[self.index])

    @property
    def task(self) -> Task:
        """Whose rule it is."""
        return self.source.task


@dataclass(frozen=True, slots=True)
class FailedRule:
    """A rule whose filter could not be evaluated for an event: it does not match."""

    rule: Rule
    reason: str


@dataclass(frozen=True, slots=True)
class Matches:
    """What an event starts: a rule of each task that it matches, in the order of task ids.

    `paused` are those of paused tasks, which start nothing.
    """

    rules: list[Rule] = field(default_factory=list)
    paused: list[Rule] = field(default_factory=list)
    failed: list[FailedRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """The event triggers of all tasks, those of a tenant and type in order of task id and place."""

    _rules: dict[tuple[str, str], Sequence[Rule]] = field(default_factory=dict)

    @classmethod
    def of(cls, sources: Iterable[RuleSource]) -> "RuleIndex":
        """The index of these tasks; nothing is compiled before an event needs it."""
        rules: dict[tuple[str, str], list[Rule]] = {}
        for source in sources:
            for index, trigger in enumerate(source.task.triggers):
                if isinstance(trigger, EventTrigger):
                    key = (source.task.tenant_id, trigger.event)
                    rules.setdefault(key, []).append(Rule(source, index))
        for found in rules.values():
            found.sort(key=lambda rule: (rule.task.task_id, rule.index))
        return cls(dict(rules))

    def compile(self) -> None:
        """Compile every filter: else the first event that needs one waits for it."""
        for rules in self._rules.values():
            for rule in rules:
                if rule.trigger.filter is not None:
                    _compiled(rule.trigger.filter)

    def match(self, tenant_id: str, event: CloudEvent) -> Matches:
        """What the event starts. A filter that fails is told, and its task's next rule is tried."""
        seen, matches = Seen(event), Matches()
        rules = self._rules.get((tenant_id, event.type), ())
        for _, of_task in groupby(rules, key=lambda rule: rule.task.task_id):
            for rule in of_task:
                reason = _why_not(rule, seen)
                if reason:
                    matches.failed.append(FailedRule(rule, reason))
                elif reason is None:
                    (matches.paused if rule.source.paused else matches.rules).append(rule)
                    break
        return matches

    def __len__(self) -> int:
        return sum(map(len, self._rules.values()))


def _why_not(rule: Rule, seen: Seen) -> str | None:
    """None when the rule matches, an empty text when it does not, else why that is not known."""
    if rule.trigger.filter is None:
        return None
    compiled = _compiled(rule.trigger.filter)
    if isinstance(compiled, str):
        return compiled
    try:
        return None if compiled.matches(seen) else ""
    except FilterFailed as error:
        return str(error)


@lru_cache(_COMPILED)
def _compiled(text: str) -> Filter | str:
    """The filter, or why it is none: another version of this program may have let it through."""
    try:
        return compile_filter(text)
    except ValueError as error:
        return str(error)
