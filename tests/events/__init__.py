"""Tests of workflows on a real Temporal server, with an activity that answers by script."""
