"""The ops page: server-rendered pages over the service layer that API and command line have too."""

PREFIX = "/console"


def is_console(path: str) -> bool:
    """Whether a request is answered by pages, and not by JSON."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")
