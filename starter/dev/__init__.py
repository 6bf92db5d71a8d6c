"""The embedded Temporal server and the process tree of `taskflow dev`."""
