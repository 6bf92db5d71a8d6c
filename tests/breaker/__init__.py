"""Tests of circuit breakers: real workers' halves and a real Temporal server, no mocks."""
