"""The registry's state: every change once, whatever comes twice, late or after a pause."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import registry
from domain.limits import TenantLimits
from domain.registry import (
    BATCH_BYTES,
    BATCH_TASKS,
    FORGET_REMOVED,
    SHARDS,
    Configure,
    Put,
    PutTask,
    Remove,
    SetPaused,
    Shard,
    Snapshot,
    batches,
    pack_task,
    shard_of,
    unpack_task,
)
from tests.conftest import task_of

T0 = datetime(2026, 11, 23, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def put(task_id: str = "a", digest: str = "1", task: str = "packed") -> PutTask:
    """A task for the registry; its content plays no part."""
    return PutTask(task_id=task_id, task=task, weight=1.0, digest=digest, task_queue="q")


def test_a_task_survives_packing() -> None:
    """What a schedule would carry comes back whole, in fewer bytes."""
    task = task_of(params={"deep": [1, {"a": None}], "text": "日本" * 200}, timeout="90s")
    packed = pack_task(task)
    assert unpack_task(packed) == task
    assert len(packed) < len(task.model_dump_json())
    with pytest.raises(ValueError, match="not a packed text"):
        unpack_task("AAAA")


def test_shards_are_for_ever() -> None:
    """A task's shard is part of stored ids: these values may never change."""
    assert [shard_of(name) for name in ("a", "daily-report", "t0")] == [5, 13, 8]
    assert {shard_of(f"t{number}") for number in range(1000)} == set(range(SHARDS))


changes = st.lists(
    st.one_of(
        st.builds(
            lambda task_id, digest: ("put", task_id, digest),
            st.sampled_from("ab"),
            st.sampled_from("12"),
        ),
        st.builds(lambda task_id: ("remove", task_id, ""), st.sampled_from("ab")),
        st.builds(
            lambda task_id, paused: ("pause", task_id, paused),
            st.sampled_from("ab"),
            st.sampled_from(["yes", ""]),
        ),
    ),
    max_size=25,
)


def carry_out(shard: Shard, change: tuple[str, str, str], at: datetime) -> None:
    """One signal."""
    kind, task_id, value = change
    if kind == "put":
        shard.put(Put(at=at, tasks=[put(task_id, value, f"task-{value}")]))
    elif kind == "remove":
        shard.remove(Remove(at=at, task_ids=[task_id]))
    else:
        shard.set_paused(SetPaused(at=at, task_ids=[task_id], paused=bool(value), note=value))


@given(changes)
def test_a_shard_is_what_the_last_changes_say(found: list[tuple[str, str, str]]) -> None:
    """Also through continue-as-new after every signal, and with each signal delivered twice."""
    shard, wanted = Shard(Snapshot()), dict[str, tuple[str, bool]]()
    for number, change in enumerate(found):
        at = T0 + number * MINUTE
        carry_out(shard, change, at)
        version = shard.version
        carry_out(shard, change, at)
        assert shard.version == version or change[0] == "remove"
        shard = Shard(Snapshot.model_validate_json(shard.snapshot().model_dump_json()))
        kind, task_id, value = change
        if kind == "put":
            wanted[task_id] = (value, wanted.get(task_id, ("", False))[1])
        elif kind == "remove":
            wanted.pop(task_id, None)
        elif task_id in wanted:
            wanted[task_id] = (wanted[task_id][0], bool(value))
    entries = shard.snapshot().entries
    assert {name: (entry.digest, entry.paused) for name, entry in entries.items()} == wanted
    for entry in entries.values():
        ends = [edge for s in entry.stretches for edge in (s.since, s.until) if edge]
        assert ends == sorted(ends), "stretches follow one another"
        assert [s.until for s in entry.stretches if s.until is None] == [None] * (not entry.paused)


def test_a_change_ends_what_was_expected_before_it() -> None:
    """Fires before a change are those of the old task, fires of a pause nobody's."""
    shard = Shard(Snapshot())
    shard.put(Put(at=T0, tasks=[put(task="old")]))
    shard.set_paused(SetPaused(at=T0 + MINUTE, task_ids=["a"], paused=True, note="by ann"))
    shard.set_paused(SetPaused(at=T0 + 2 * MINUTE, task_ids=["a"], paused=False))
    shard.put(Put(at=T0 + 3 * MINUTE, tasks=[put(digest="2", task="new")]))
    entry = shard.snapshot().entries["a"]
    assert [(s.since, s.until, s.task) for s in entry.stretches] == [
        (T0, T0 + MINUTE, "old"),
        (T0 + 2 * MINUTE, T0 + 3 * MINUTE, "old"),
        (T0 + 3 * MINUTE, None, None),
    ]


def test_a_version_is_not_repeated_by_a_registry_that_begins_anew() -> None:
    """Whoever keeps an old version in mind reads a registry that was lost and made again."""
    first = Shard(Snapshot())
    first.put(Put(at=T0, tasks=[put()]))
    anew = Shard(Snapshot())
    anew.put(Put(at=T0 + MINUTE, tasks=[put("b")]))
    assert anew.version > first.version


def limits(max_concurrent: int, said: int) -> Configure:
    """A tenant's limits as somebody set them so many minutes after `T0`."""
    at = T0 + said * MINUTE
    return Configure(at=at, limits=TenantLimits(max_concurrent=max_concurrent, changed_at=at))


@given(st.permutations(range(6)), st.lists(st.sampled_from(range(6)), max_size=6))
def test_the_limits_said_last_hold_whenever_they_come(order: list[int], again: list[int]) -> None:
    """Late, in any order, twice and through continue-as-new: what was said earlier changes nothing.

    Each that changes something makes a new version, or nobody would read it.
    """
    shard = Shard(Snapshot())
    latest = -1
    for number in [*order, *again]:
        version = shard.version
        shard.configure(limits(number + 1, said=number))
        if number > latest:
            assert shard.version > version
        elif number < latest:
            assert shard.version == version
        latest = max(latest, number)
        shard = Shard(Snapshot.model_validate_json(shard.snapshot().model_dump_json()))
        assert shard.limits == limits(latest + 1, said=latest).limits


@given(changes)
def test_limits_and_tasks_do_not_disturb_each_other(found: list[tuple[str, str, str]]) -> None:
    """Tasks put, removed and paused leave the limits; limits leave every task and removal."""
    shard, other = Shard(Snapshot()), Shard(Snapshot())
    shard.configure(limits(7, said=0))
    for number, change in enumerate(found):
        carry_out(shard, change, T0 + number * MINUTE)
        carry_out(other, change, T0 + number * MINUTE)
    assert shard.limits == limits(7, said=0).limits
    before = shard.snapshot()
    shard.configure(limits(8, said=30))
    after, alone = shard.snapshot(), other.snapshot()
    assert (after.entries, after.removed) == (before.entries, before.removed)
    assert (after.entries, after.removed) == (alone.entries, alone.removed)
    assert alone.limits is None


def test_a_registry_from_before_limits_goes_on() -> None:
    """A snapshot that was stored without them, or with fields of tomorrow, loads with its tasks."""
    shard = Shard(Snapshot())
    shard.put(Put(at=T0, tasks=[put()]))
    stored = json.loads(shard.snapshot().model_dump_json())
    del stored["limits"]
    old = Snapshot.model_validate_json(json.dumps(stored))
    assert (old, old.limits) == (shard.snapshot(), None)
    stored["limits"] = {"max_concurrent": 3, "field_of_tomorrow": 1}
    assert Snapshot.model_validate_json(json.dumps(stored)).limits == TenantLimits(max_concurrent=3)
    resumed = Shard(old)
    resumed.configure(limits(2, said=1))
    assert resumed.limits
    assert resumed.limits.max_concurrent == 2
    assert resumed.snapshot().entries == old.entries


def test_removals_are_remembered_for_a_day() -> None:
    """Long enough to finish a deletion that was cut off, and no longer."""
    shard = Shard(Snapshot())
    shard.put(Put(at=T0, tasks=[put()]))
    shard.remove(Remove(at=T0, task_ids=["a"]))
    assert shard.snapshot().removed == {"a": T0}
    shard.put(Put(at=T0 + FORGET_REMOVED + MINUTE, tasks=[put("b")]))
    assert shard.snapshot().removed == {}


def test_a_full_shard_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than grow past what Temporal takes, and fail with everything in it."""
    monkeypatch.setattr(registry, "MOST_BYTES", 2000)
    shard = Shard(Snapshot())
    shard.put(Put(at=T0, tasks=[put("a"), put("b", task="x" * 3000), put("c")]))
    assert shard.snapshot().entries.keys() == {"a", "c"}
    assert shard.snapshot().left_out == ["b"]
    shard.put(Put(at=T0, tasks=[put("b", digest="2")]))
    assert shard.snapshot().left_out == []


@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(1, 200_000)), max_size=60))
def test_batches_are_few_and_bounded(found: list[tuple[str, int]]) -> None:
    """Every task in one batch of its shard; no batch beyond its bounds but for one big task."""
    puts = [
        (tenant, put(f"t{number}", task="x" * size)) for number, (tenant, size) in enumerate(found)
    ]
    made = batches(puts)
    assert sorted(p.task_id for _, _, tasks in made for p in tasks) == sorted(
        p.task_id for _, p in puts
    )
    for _, shard, tasks in made:
        assert {shard_of(p.task_id) for p in tasks} == {shard}
        assert len(tasks) <= BATCH_TASKS
        assert len(tasks) == 1 or sum(len(p.task) for p in tasks) <= BATCH_BYTES
