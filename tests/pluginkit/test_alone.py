"""What an author of plugins takes along with the kit."""

import json
import subprocess
import sys

from shared.settings import ROOT

_LOADED = (
    "import json, sys, pluginkit.testing; from pluginkit import *; "
    "print(json.dumps(sorted(sys.modules)))"
)


def test_a_plugin_loads_nothing_of_the_scheduler() -> None:
    """The signatures that both sides share, and nothing else: no Temporal, no settings, no log."""
    run = subprocess.run(
        [sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = json.loads(run.stdout)
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"activities", "domain", "sandbox", "starter", "worker", "workflows"}
    assert not tops & {"fastapi", "structlog", "temporalio", "pydantic_settings", "yaml"}
    assert [name for name in loaded if name.startswith("shared")] == ["shared", "shared.webhooks"]
