"""Who may decode: admins, because payloads do not say whose they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.codec_keys import create_keys
from starter.callers import TENANT_SCOPES
from tests.api.harness import Door, door

PLAIN = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "eyJhIjogMX0="}]}
ROUTES = pytest.mark.parametrize("route", ["/codec/decode", "/codec/encode"])


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Door]:
    """An API with keys; no route here asks Temporal for anything."""
    keys = tmp_path / "keys"
    create_keys(keys, "k1")
    async with door(None, tmp_path, codec_keys_file=keys) as opened:
        yield opened


@ROUTES
async def test_only_admins_may_use_the_codec(keyed: Door, route: str) -> None:
    """A tenant's token, whatever it may do otherwise, decodes nothing; nor does no token."""
    assert (await keyed.http.post(route, json=PLAIN)).status_code == 401
    tenants = keyed.caller("acme", *TENANT_SCOPES)
    refused = await keyed.http.post(route, json=PLAIN, headers=tenants)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    answer = await keyed.http.post(route, json=PLAIN, headers=keyed.caller(None))
    assert answer.status_code == 200
    assert (answer.json() == PLAIN) is (route == "/codec/decode")


@ROUTES
async def test_without_keys_there_is_nothing_to_decode(tmp_path: Path, route: str) -> None:
    """It is said, and not that the route does not exist."""
    async with door(None, tmp_path) as opened:
        answer = await opened.http.post(route, json=PLAIN, headers=opened.caller(None))
    assert answer.status_code == 404
    assert "TASKFLOW_CODEC_KEYS_FILE is not set" in answer.json()["detail"]
