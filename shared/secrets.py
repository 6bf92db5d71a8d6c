"""The values of secrets: from mounted files or the environment, when a call is made.

A file is `<folder>/<tenant>/<name>`, a variable `TASKFLOW_SECRET_<TENANT>__<NAME>`.
"""

import asyncio
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domain.ids import NAME
from domain.masking import NOTHING, Mask
from domain.references import reference_to, secrets_in, with_secrets
from domain.task import Params
from shared.settings import Settings

MAX_SECRET_BYTES = 64 * 1024
VARIABLE = "TASKFLOW_SECRET_"
_NAME = re.compile(NAME)


class SecretNotFound(Exception):  # noqa: N818 - reads as what happened
    """A secret that this process cannot read: the text names it and says why, and no value."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Where this process finds secrets; a file goes before a variable."""

    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Vault":
        """Those of a process with these settings."""
        return cls(settings.secrets_dir)

    async def open(self, tenant_id: str, params: Params) -> tuple[Params, Mask]:
        """The params with values for references, and what takes these out of an answer.

        Errors: `SecretNotFound`.
        """
        names = secrets_in(params)
        if not names:
            return params, NOTHING
        values = await self.read(tenant_id, names)
        return with_secrets(params, values), Mask(values)

    async def read(self, tenant_id: str, names: Iterable[str]) -> dict[str, str]:
        """The values by their names, as they are now. Errors: `SecretNotFound`."""
        wanted = sorted(names)
        # In a thread: a mounted folder may be that of another machine.
        return await asyncio.to_thread(lambda: {n: self.value(tenant_id, n) for n in wanted})

    def value(self, tenant_id: str, name: str) -> str:
        """One value, without the line end that editors leave behind. Errors: `SecretNotFound`."""
        if not (_NAME.fullmatch(tenant_id) and _NAME.fullmatch(name)):
            raise SecretNotFound(f"{tenant_id!r} or {name!r} is not a name")
        content = self._file(tenant_id, name)
        if content is None:
            variable = self.environment.get(variable_of(tenant_id, name))
            if variable is None:
                raise SecretNotFound(self._missing(tenant_id, name))
            content = variable.encode("utf-8", "surrogateescape")
        try:
            text = re.sub(r"\r?\n\Z", "", content.decode())
        except UnicodeDecodeError:
            raise _unusable(name, "is not UTF-8 text") from None  # the cause would show a part
        if not text:
            raise _unusable(name, "is empty")
        return text

    def _file(self, tenant_id: str, name: str) -> bytes | None:
        """What the file holds; None when there is none."""
        if self.folder is None:
            return None
        path = self.folder / tenant_id / name
        try:
            if not _stays(self.folder, tenant_id, path):
                raise _unusable(name, "is a link that leaves the tenant's folder")
            return _content(path, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go round
            reason = getattr(error, "strerror", None) or "its links go round"
            raise _unusable(name, f"cannot be read: {reason.lower()}") from None

    def _missing(self, tenant_id: str, name: str) -> str:
        folder = f"there is no file {tenant_id}/{name} in the folder of secrets, and "
        return (
            f"{reference_to(name)} is not there: {folder if self.folder else ''}"
            f"the variable {variable_of(tenant_id, name)} is not set"
        )


def variable_of(tenant_id: str, name: str) -> str:
    """The environment variable of a secret: no two secrets have the same.

    In capitals; what is neither letter nor digit is `_` and its two hex digits, so that two
    underscores stand between tenant and name and nowhere else.
    """
    return f"{VARIABLE}{_in_capitals(tenant_id)}__{_in_capitals(name)}"


def _in_capitals(name: str) -> str:
    return re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):02X}", name).upper()


def _stays(folder: Path, tenant_id: str, path: Path) -> bool:
    """Whether a file is where it seems to be: mounted secrets are links within their folder."""
    root = folder.resolve(strict=True)
    own = (root / tenant_id).resolve(strict=True)
    inside = own.is_relative_to(root) and own.name == tenant_id
    return inside and path.resolve(strict=True).is_relative_to(own)


def _content(path: Path, name: str) -> bytes:
    # Not waiting: a pipe of that name would hold the call up for ever.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _unusable(name, "is no file")
    with os.fdopen(number, "rb") as file:
        content = file.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise _unusable(name, f"is larger than {MAX_SECRET_BYTES} bytes")
    return content


def _unusable(name: str, why: str) -> SecretNotFound:
    return SecretNotFound(f"{reference_to(name)} {why}")
