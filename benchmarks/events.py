"""`python -m benchmarks.events [--rules N] [--json]`: which rules an event matches, on one core.

Ten thousand tasks of one tenant with a rule each, a hundred of which are of the event's type; each
has a filter. An ordinary event, and the largest that is accepted. `--json` prints one document:
`{"rules", "index_ms", "compile_ms", "parse_ms", "match_ms", "large_parse_ms", "large_match_ms",
"matched"}`, milliseconds of processor time; `compile_ms` is what the first event of a type pays.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

from pydantic import JsonValue

from domain.document import Document
from domain.events_in import parse_structured
from domain.registration import read_registration
from domain.rules import RuleIndex, RuleSource
from shared.policy import load_policy
from shared.settings import get_settings

RULES = 10_000
OF_A_TYPE, OF_A_FILE = 100, 10_000
ROUNDS = 20
ORDER: JsonValue = {"amount": 507, "region": "eu", "items": [{"sku": "A-1", "price": 9.5}]}
LARGE: JsonValue = {"amount": 507, "region": "eu", "items": [{"sku": 1}] * 6_500}


def sources(count: int, of_a_type: int = OF_A_TYPE) -> list[RuleSource]:
    """So many tasks, each with a rule."""
    types = max(1, count // of_a_type)
    tasks = [
        {
            "tenant_id": "acme",
            "task_id": f"task-{number}",
            "plugin_id": "plugin",
            "triggers": [
                {
                    "event": f"type-{number % types}",
                    "filter": f"data.amount > {number % 1000} && data.region == 'eu'",
                }
            ],
        }
        for number in range(count)
    ]
    policy = load_policy(get_settings().policy_file)
    files = [Document({"tasks": tasks[at : at + OF_A_FILE]}) for at in range(0, count, OF_A_FILE)]
    return [
        RuleSource(task, 1.0, "taskflow", False, False)
        for file in files
        for task in read_registration(file, policy).tasks
    ]


def milliseconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Processor time of one call, the mean of several."""
    began = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - began) / rounds * 1e3


def measure(count: int) -> dict[str, float]:
    """Every number of the document."""
    rules = sources(count)
    index = RuleIndex.of(rules)
    said: dict[str, JsonValue] = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/benchmark",
        "type": "type-0",
    }
    ordinary, large = said | {"data": ORDER}, said | {"data": LARGE}
    event, largest = parse_structured(ordinary), parse_structured(large)
    # Registration compiles to check; the first event that needs a filter compiles it to keep it.
    first = milliseconds(lambda: index.match("acme", event), rounds=1)
    return {
        "rules": count,
        "index_ms": milliseconds(lambda: RuleIndex.of(rules), rounds=3),
        "compile_ms": first,
        "parse_ms": milliseconds(lambda: parse_structured(ordinary)),
        "match_ms": milliseconds(lambda: index.match("acme", event)),
        "large_parse_ms": milliseconds(lambda: parse_structured(large)),
        "large_match_ms": milliseconds(lambda: index.match("acme", largest)),
        "matched": len(index.match("acme", event).rules),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events")
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.rules)
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0
    sys.stdout.write(
        f"{found['rules']:,.0f} rules, {found['matched']:,.0f} of them matched: "
        f"{found['match_ms']:.2f} ms an event (the first {found['compile_ms']:.1f} ms), "
        f"read in {found['parse_ms']:.2f} ms\n"
        f"an event of 64 KiB: {found['large_match_ms']:.1f} ms, read in "
        f"{found['large_parse_ms']:.1f} ms; the index: {found['index_ms']:.0f} ms\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
