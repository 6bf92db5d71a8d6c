"""`dev`, `worker`, `api`, `nats`, `demo`: the commands that become, or start, processes."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: taskflow dev --port 7300 --db /tmp/try.db")(dev)
    app.command(epilog="Example: TEMPORAL_ADDRESS=temporal:7233 taskflow worker")(worker)
    app.command(epilog="Example: taskflow api --host 0.0.0.0 --port 8088")(api)
    app.command(epilog="Example: taskflow nats --create-stream --metrics-port 9101")(nats)
    app.command(epilog="Example: taskflow demo --seconds 30")(demo)


def dev(
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Temporal; 7233 if left out, 0 any free")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Temporal's Web UI; PORT + 1000")
    ] = None,
    api_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="HTTP API; 8088 if left out")
    ] = None,
    sandbox_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Plugin runtime; 8089 if left out")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Metrics of the worker; 9464 if left out and free"),
    ] = None,
    db: Annotated[
        Path | None, typer.Option(help="Temporal's database; .taskflow/temporal.db if left out")
    ] = None,
) -> int:
    """Run everything on this machine, until Ctrl-C.

    A Temporal server, a worker, the HTTP API and a sandbox that plays the plugins; those are called
    at TASKFLOW_PLUGIN_URL instead, if it is set.
    """
    from starter.dev.command import run_dev
    from starter.dev.options import DevOptions

    return run_dev(
        DevOptions(
            port=port,
            ui_port=ui_port,
            api_port=api_port,
            sandbox_port=sandbox_port,
            metrics_port=metrics_port,
            db=db,
            plugin_url=os.environ.get("TASKFLOW_PLUGIN_URL"),
        )
    )


def worker() -> None:
    """Run a worker until a signal ends it."""
    _become("worker")  # replaced, not imported: the front doors know nothing of the worker


def api(
    host: Annotated[str | None, typer.Option(help="127.0.0.1 if left out")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="8088 if left out")] = None,
) -> None:
    """Serve the HTTP API until a signal ends it."""
    given = {"--host": host, "--port": port}
    _become("starter.api", *(f"{n}={value}" for n, value in given.items() if value is not None))


def nats(
    create_stream: Annotated[
        bool, typer.Option("--create-stream", help="Make the streams that are missing")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Prometheus; TASKFLOW_METRICS_PORT")
    ] = None,
) -> None:
    """Start runs for CloudEvents from NATS JetStream, until a signal ends it.

    Needs `pip install taskflow[nats]`; TASKFLOW_NATS_... say where and what.
    """
    given = ["--create-stream"] if create_stream else []
    given += [f"--metrics-port={metrics_port}"] if metrics_port is not None else []
    _become("starter.nats", *given)


def demo(
    seconds: Annotated[
        float, typer.Option(envvar="DEMO_SECONDS", min=1, help="How long tasks are to run")
    ] = 60,
) -> int:
    """Run example tasks for a while and check every run."""
    from starter.demo import run_demo

    return run_demo(seconds)


def _become(module: str, *arguments: str) -> None:
    sys.stdout.flush()
    # -P: a folder called `worker` where the person stands must not be run instead.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])  # noqa: S606 - ours
