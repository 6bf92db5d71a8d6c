"""Secrets that tasks name and this process cannot see, which need not mean that workers cannot."""

import asyncio
from collections.abc import Iterable

from domain.references import reference_to, secrets_in
from domain.task import Task
from shared.secrets import SecretNotFound, Vault


async def unseen_secrets(tasks: Iterable[Task], vault: Vault) -> list[str]:
    """A sentence for each; none where no folder of secrets is configured.."""
    if vault.folder is None:
        return []
    named = {
        (task.tenant_id, name): task.task_id
        for task in tasks
        for params in (task.params, task.compensation.params if task.compensation else {})
        for name in secrets_in(params)
    }
    missing = await asyncio.to_thread(
        lambda: [key for key in sorted(named) if not _is_seen(vault, *key)]
    )
    return [
        f"{tenant_id}/{named[tenant_id, name]}: {reference_to(name)} cannot be read from here; "
        "workers look for it when they call the plugin"
        for tenant_id, name in missing
    ]


def _is_seen(vault: Vault, tenant_id: str, name: str) -> bool:
    try:
        vault.value(tenant_id, name)
    except SecretNotFound:
        return False
    return True
