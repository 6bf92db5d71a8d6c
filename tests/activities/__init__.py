"""Tests of activities against real sockets."""
