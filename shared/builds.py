"""Which version of the product this process is, to people and to Temporal."""

import sys
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from shared.settings import ROOT, Settings

DECIDING = ("domain", "workflows")
"""The packages whose code says what workflows do next: what they import of ours is among them."""


@dataclass(frozen=True, slots=True)
class Build:
    """`deployment` is None for workers that are not versioned: they share all work with all."""

    version: str
    deployment: str | None
    build_id: str


def build_of(settings: Settings) -> Build:
    """The version of a process with these settings."""
    return Build(version("taskflow"), settings.deployment, settings.build_id or default_build_id())


@cache
def default_build_id() -> str:
    """The release, and a digest of what decides the next step of a workflow.

    Two installations of the same digest can take turns in a run. A change elsewhere (in an
    activity, in the API) leaves it as it is: such workers are replaced without a new version.
    """
    return f"{version('taskflow')}-{digest_of(ROOT)}"


def digest_of(root: Path) -> str:
    """Of the sources of `DECIDING` under a folder, of Python and of Temporal's SDK."""
    digest = blake2b(digest_size=6)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    for said in (f"python {python}", f"temporalio {version('temporalio')}"):
        digest.update(said.encode())
    for package in DECIDING:
        for file in sorted((root / package).rglob("*.py")):
            source = file.read_bytes()
            digest.update(f"{file.relative_to(root).as_posix()} {len(source)}\n".encode())
            digest.update(source)
    return digest.hexdigest()
