"""The routes, one module for each thing that they are about."""

from fastapi import APIRouter

from starter.api.routes import codec, events

ROUTERS: tuple[APIRouter, ...] = (events.router, codec.router)
"""All that ask who calls."""
