"""The routes, one module for each thing that they are about."""

from fastapi import APIRouter

from starter.api.routes import codec, events, forecast, operate, runs, sla_report, tasks

ROUTERS: tuple[APIRouter, ...] = (
    tasks.router,
    operate.router,
    runs.router,
    forecast.router,
    sla_report.router,
    events.router,
    codec.router,
)
"""All that ask who calls."""
