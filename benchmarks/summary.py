"""The figures of all rounds, scenario by scenario."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

from benchmarks.latencies import Latencies
from benchmarks.rounds import Turn
from benchmarks.scenarios import Scenario


@dataclass(frozen=True)
class Summary:
    """One scenario over all rounds.

    `throughputs` are runs per second, a value for each round; `throughput` is their median.
    `ratios` compare each with the first scenario in the same round; `ratio` is their median.
    Latencies are from the start of a run to its result: of runs `alone`, and of those in a `burst`
    of all of a turn. Events, workflow tasks and payload bytes are those of the median history;
    `requests` are gRPC calls of the worker per run, and `requests_by_operation` says which;
    `cpu_ms` is processor time per run in milliseconds, `python_ms` that of the worker's Python, 0
    where the system does not tell.
    """

    name: str
    title: str
    runs: int
    throughput: float
    throughputs: list[float]
    ratio: float
    ratios: list[float]
    alone_p50_ms: float
    alone_p99_ms: float
    burst_p50_ms: float
    burst_p99_ms: float
    events: int
    workflow_tasks: int
    payload_bytes: int
    requests: float
    requests_by_operation: dict[str, float]
    cpu_ms: float
    cpu_ms_by_process: dict[str, float]
    python_ms: float


def summarise(
    turns: dict[str, list[Turn]], scenarios: Sequence[Scenario], runs: int
) -> list[Summary]:
    """A summary for each scenario, in their order; `runs` were made in each turn."""
    base = [turn.throughput for turn in turns[scenarios[0].name]]
    return [_summary(scenario, turns[scenario.name], base, runs) for scenario in scenarios]


def _summary(scenario: Scenario, turns: list[Turn], base: list[float], runs: int) -> Summary:
    throughputs = [turn.throughput for turn in turns]
    ratios = [own / first for own, first in zip(throughputs, base, strict=True)]
    histories = [history for turn in turns for history in turn.histories]
    requests = sum((turn.requests for turn in turns), Counter[str]())
    cpu = sum((turn.cpu_ms for turn in turns), Counter[str]())
    all_runs = runs * len(turns)
    alone = Latencies(list(chain.from_iterable(turn.alone for turn in turns))).summary()
    burst = Latencies(list(chain.from_iterable(turn.burst for turn in turns))).summary()
    return Summary(
        name=scenario.name,
        title=scenario.title,
        runs=all_runs,
        throughput=round(median(throughputs), 2),
        throughputs=[round(value, 2) for value in throughputs],
        ratio=round(median(ratios), 3),
        ratios=[round(value, 3) for value in ratios],
        alone_p50_ms=alone.p50_ms,
        alone_p99_ms=alone.p99_ms,
        burst_p50_ms=burst.p50_ms,
        burst_p99_ms=burst.p99_ms,
        events=round(median(history.events for history in histories)),
        workflow_tasks=round(median(history.workflow_tasks for history in histories)),
        payload_bytes=round(median(history.payload_bytes for history in histories)),
        requests=round(requests.total() / all_runs, 2),
        requests_by_operation=_per_run(requests, all_runs),
        cpu_ms=round(cpu.total() / all_runs, 2),
        cpu_ms_by_process=_per_run(cpu, all_runs),
        python_ms=round(sum(turn.python_ms for turn in turns) / all_runs, 2),
    )


def _per_run(counts: Counter[str], runs: int) -> dict[str, float]:
    return {name: round(count / runs, 2) for name, count in counts.most_common()}
