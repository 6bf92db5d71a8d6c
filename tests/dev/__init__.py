"""Tests of the embedded server and the process tree."""
