"""`taskflow demo`: the example tasks on a real Temporal server, and a check of every run."""

from starter.demo.command import run_demo

__all__ = ["run_demo"]
