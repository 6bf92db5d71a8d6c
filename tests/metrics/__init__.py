"""Tests of metrics, by their subject."""
