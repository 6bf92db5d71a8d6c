"""The secret that worker, API and plugins of a stack share: it signs calls and reports."""

import base64
import secrets
from pathlib import Path

from domain.problems import InvalidInput
from shared.errors import TaskflowError
from shared.plugin_secrets import load_secrets
from shared.sole_writer import replace_file
from shared.webhooks import PREFIX

NAME = "plugin-secret"
_BYTES = 32


def plugin_secret(state: Path, configured: Path | None) -> Path:
    """The file of the secret: the configured one, else that of the state folder, made when needed.

    Errors: `TaskflowError` for a file that is missing, wrong or cannot be made.
    """
    path = configured or state / NAME
    try:
        if configured is None and not path.exists():
            state.mkdir(parents=True, exist_ok=True)
            key = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
            replace_file(path, f"{PREFIX}{key}\n")
        load_secrets(path)
    except OSError as error:
        raise TaskflowError(f"{path} cannot be written: {error.strerror}.") from error
    except InvalidInput as error:
        advice = (
            "Correct it, or unset TASKFLOW_PLUGIN_SECRET_FILE to have one made."
            if configured
            else "Delete that file, and a new one is made."
        )
        raise TaskflowError(f"{path} {error}. {advice}") from error
    return path.absolute()
