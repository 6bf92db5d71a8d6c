"""For authors of plugins in Python: the runtime contract as a small ASGI app."""
