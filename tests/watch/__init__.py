"""Tests of the registry and the watch on real servers and processes."""
