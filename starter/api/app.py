"""The app: its routes and what stands before them."""

from fastapi import FastAPI


def create_app() -> FastAPI:
    """The ASGI app of one process."""
    app = FastAPI(title="taskflow")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers: `{"status": "ok"}`."""
        return {"status": "ok"}

    return app
