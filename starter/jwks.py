"""The keys with which an issuer signs its JWTs: fetched when needed, and kept for a while."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpx
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from starter.callers import AuthUnavailable

log = structlog.get_logger(__name__)

LIFETIME_SECONDS = 600.0
"""Keys younger than this are used without a question."""
STALE_SECONDS = 3600.0
"""Keys younger than this are used while the issuer cannot be asked."""
PAUSE_SECONDS = 30.0
"""Between two fetches while there are keys: unknown key ids cost the issuer no more than this."""
RETRY_SECONDS = 1.0
"""Between two fetches while there are none."""
FETCH_SECONDS = 5.0
MOST_BYTES = 256 * 1024

_NOT_A_KEY = (
    PyJWTError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
)
_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_PUBLIC = ("kty", "crv", "n", "e", "x", "y")

Keys = Mapping[tuple[str, str], PyJWK]
"""By key id and algorithm."""


class FetchFailed(Exception):  # noqa: N818 - reads as what happened
    """The issuer's keys could not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: Keys
    ids: frozenset[str]
    at: float


class Jwks:
    """The keys of one issuer. `jwks_url` None: where its discovery document says they are."""

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        algorithms: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._url, self._algorithms = issuer, jwks_url, tuple(algorithms)
        self._clock = clock
        self._fetched: _Fetched | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._one = asyncio.Lock()

    async def key(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key of that id, when it is one for the algorithm; None when there is no such key.

        Errors: `AuthUnavailable` when the issuer cannot be asked and what is known of its keys is
        too old, or does not hold this one.
        """
        known = self._usable()
        if known is None or key_id not in known.ids:
            known = await self._refreshed(key_id)
        elif self._age(known) > LIFETIME_SECONDS and not self._one.locked():
            # Only one request waits for the new keys; those beside it go by the old ones.
            known = await self._refreshed(key_id)
        return known.keys.get((key_id, algorithm))

    async def problem(self) -> str | None:
        """Why no key is known now, after asking the issuer; None when some are."""
        if self._usable() is None:
            try:
                await self._refreshed("")
            except AuthUnavailable as error:
                return str(error)
        return None

    def _age(self, fetched: _Fetched) -> float:
        return self._clock() - fetched.at

    def _usable(self) -> _Fetched | None:
        fetched = self._fetched
        return fetched if fetched and self._age(fetched) <= STALE_SECONDS else None

    async def _refreshed(self, key_id: str) -> _Fetched:
        """The keys after a fetch, unless one was tried just now."""
        async with self._one:
            known = self._usable()
            fresh = known is not None and self._age(known) <= LIFETIME_SECONDS
            if not (fresh and known and key_id in known.ids) and self._may_fetch(known):
                await self._fetch()
                known = self._usable()
        if known is None or (self._failed and key_id not in known.ids):
            raise AuthUnavailable("the issuer's keys cannot be read now: try again later")
        return known

    def _may_fetch(self, known: _Fetched | None) -> bool:
        if self._tried_at is None:
            return True
        pause = PAUSE_SECONDS if known else RETRY_SECONDS
        return self._clock() - self._tried_at >= pause

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = self._url or await _discovered(self._issuer)
                keys, ids = _keys_of(await _json_of(url), self._algorithms)
        except (FetchFailed, TimeoutError) as error:
            self._failed = True
            reason = str(error) or f"no answer within {FETCH_SECONDS:g} s"
            log.warning("keys not fetched", action="jwks_failed", reason=reason)
        else:
            self._failed = False
            self._fetched = _Fetched(keys, ids, self._clock())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it: `localhost`, `127.0.0.1`, `::1`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def safe_url(text: str) -> httpx.URL:
    """A URL whose answer nobody on the way can change. Errors: `ValueError`, a sentence."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError("is not a URL") from error
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError("must be a https URL")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError("must begin with https:// unless it is on this machine")
    if url.userinfo or url.fragment:
        raise ValueError("must be without user name, password and fragment")
    return url


async def _discovered(issuer: str) -> str:
    """Where the issuer's keys are. Errors: `FetchFailed`."""
    found = await _json_of(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise FetchFailed("the discovery document is of another issuer")
    url = found.get("jwks_uri")
    if not isinstance(url, str):
        raise FetchFailed("the discovery document names no jwks_uri")
    return url


async def _json_of(text: str) -> dict[str, Any]:
    """The JSON object at a URL, which is not large. Errors: `FetchFailed`."""
    try:
        url = safe_url(text)
    except ValueError as error:
        raise FetchFailed(f"{text!r} {error}") from error
    body = bytearray()
    try:
        # A proxy, and certificate authorities of one's own, are the environment's to name.
        async with (
            httpx.AsyncClient(trust_env=url.scheme == "https", timeout=FETCH_SECONDS) as http,
            http.stream("GET", url, headers=_HEADERS) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise FetchFailed(f"{url} answered {answer.status_code}")
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise FetchFailed(f"{url} answered more than {MOST_BYTES >> 10} KiB")
        document = json.loads(body)
    except httpx.HTTPError as error:
        raise FetchFailed(f"{url}: {str(error) or type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise FetchFailed(f"{url} answered no JSON") from error
    if not isinstance(document, dict):
        raise FetchFailed(f"{url} answered no JSON object")
    return document


def _keys_of(document: dict[str, Any], algorithms: Iterable[str]) -> tuple[Keys, frozenset[str]]:
    """The keys that sign by one of the algorithms, and the ids of all; an issuer may have none.

    Only public members of a key are read, and a key is bound to the algorithms of its type: a
    public key is never taken for a shared secret. Errors: `FetchFailed`.
    """
    found = document.get("keys")
    if not isinstance(found, list):
        raise FetchFailed("the answer is no set of keys")
    keys: dict[tuple[str, str], PyJWK] = {}
    ids: set[str] = set()
    for jwk in found:
        if not isinstance(jwk, dict) or not isinstance(key_id := jwk.get("kid"), str):
            continue
        if jwk.get("use", "sig") != "sig":
            continue
        ids.add(key_id)
        public = {name: jwk[name] for name in _PUBLIC if name in jwk}
        for algorithm in algorithms:
            if jwk.get("kty") != _FAMILIES[algorithm[:2]]:
                continue
            if jwk.get("alg", algorithm) != algorithm:
                continue
            try:
                keys.setdefault((key_id, algorithm), PyJWK(public, algorithm))
            except _NOT_A_KEY:
                log.warning("key not understood", action="jwks_key_skipped", key_id=key_id)
    if not keys:
        log.warning("the issuer has no keys for us", action="jwks_empty", algorithms=algorithms)
    return keys, frozenset(ids)
