"""The routes, one module for each thing that they are about."""

from fastapi import APIRouter

from starter.api.routes import events

ROUTERS: tuple[APIRouter, ...] = (events.router,)
"""All that ask who calls."""
