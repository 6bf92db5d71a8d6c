"""Executions that a plugin accepts and reports on, on a real Temporal server."""
