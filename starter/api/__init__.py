"""The HTTP door: FastAPI over the same service layer as the command line."""
