"""The HTTP API process: `python -m starter.api --host HOST --port PORT`."""

import argparse

import uvicorn
from fastapi import FastAPI

app = FastAPI(title="taskflow")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers: `{"status": "ok"}`."""
    return {"status": "ok"}


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish open requests; a taken port is exit code 1."""
    parser = argparse.ArgumentParser(prog="starter.api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
