"""What a process does that sends no spans: nothing of OpenTelemetry, and all the rest."""

import json
import os
import subprocess
import sys

from shared.settings import ROOT
from tests.starter.harness import OWN

_PROCESS = """
import os, sys
import worker.main, worker.__main__, starter.api.app, starter.api.__main__
from shared import log, tracing
from shared.settings import get_settings

def works_untraced():
    tracing.configure("taskflow-worker")
    assert tracing.interceptors() == []
    assert tracing.parent_header("7" * 32, "1" * 16) == f"00-{'7' * 32}-{'1' * 16}-01"
    tracing.close()
    ours = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")
    assert not [name for name in sys.modules if name.startswith(ours)]

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(name)

log.configure(get_settings())
works_untraced()
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
    os.environ.update(off)
    works_untraced()
    for name in off:
        del os.environ[name]
print("wanted", file=sys.stderr)
sys.meta_path.insert(0, Nowhere())
works_untraced()
"""


def test_nothing_is_loaded_where_nobody_asks_for_spans_or_the_extra_is_missing() -> None:
    """Tracing that is off costs nothing; an endpoint without the extra is a line in the log."""
    mine = {name: value for name, value in os.environ.items() if name.startswith((*OWN, "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        cwd=ROOT,
        env={
            **{n: v for n, v in os.environ.items() if n not in mine},
            "TASKFLOW_LOG_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    unasked, _, asked = done.stderr.partition("wanted\n")
    assert unasked == ""
    line = json.loads(asked)
    assert line["action"] == "tracing_unavailable"
    assert "taskflow[otel]" in line["fix"]
