"""`make fuzz`: all that makes its own inputs, round after round, each with another seed.

FUZZ_SECONDS: for how long, 600 if not said; what has begun is ended. FUZZ_EXAMPLES: of each test in
a round. FUZZ_SEED: of the first round; the same seed makes the same inputs again. Names of tests as
arguments, as pytest takes them, are all that is run.
"""

import os
import subprocess
import sys
import time
from itertools import count
from secrets import randbelow

from shared.settings import ROOT

_OWN = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests" / "fuzz").glob("test_*.py"))]
_ALSO = [
    f"tests/domain/test_{name}.py"
    for name in ("admission_properties", "breaker", "debounce", "registry", "fires", "shifted")
]
"""Properties whose examples are new with each seed, though their number is their own."""


def _out(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fails(name: str, seed: int, examples: str) -> bool:
    """Run one file; what it says is shown when it fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", name]
    command += ["--show-capture=no", f"--hypothesis-seed={seed}"]
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"FUZZ_EXAMPLES": examples},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = f"{time.monotonic() - began:.0f} s"
    if done.returncode == 0:
        _out(f"  {name}: well, {took}")
        return False
    _out(done.stdout)
    again = f"FUZZ_EXAMPLES={examples} FUZZ_SECONDS=0 FUZZ_SEED={seed} python -m tests.fuzz {name}"
    _out(f"  {name}: FAILED, {took}; again: {again}")
    return True


def main() -> int:
    """The exit code: 1 when anything failed."""
    seconds = float(os.environ.get("FUZZ_SECONDS", "600"))
    examples = os.environ.get("FUZZ_EXAMPLES", "300")
    first = int(os.environ.get("FUZZ_SEED") or randbelow(10**9))
    names = sys.argv[1:] or [*_OWN, *_ALSO]
    ends, failed = time.monotonic() + seconds, 0
    for number in count():
        _out(f"round {number + 1}, FUZZ_SEED={first + number}")
        for name in names:
            if time.monotonic() >= ends and (number or seconds):
                break
            failed += _fails(name, first + number, examples)
        if time.monotonic() >= ends:
            break
    _out(f"{failed} failed" if failed else "nothing was found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
