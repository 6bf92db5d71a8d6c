"""The pages, one module for each thing that they are about."""

from fastapi import APIRouter

from starter.api.console.routes import door, orders, overview, runs, tasks

PAGES: tuple[APIRouter, ...] = (
    overview.router,
    tasks.router,
    runs.router,
    orders.router,
    door.router,
)
