"""JWTs of an issuer: real keys, a real server that serves them, and everything that is refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from jwt.warnings import InsecureKeyLengthWarning
from pytest_httpserver import HTTPServer
from structlog.testing import capture_logs
from werkzeug import Request, Response

from domain.problems import InvalidInput
from shared.settings import Settings
from starter.authentication import Bearer, authenticator_of
from starter.callers import TENANT_SCOPES, AuthUnavailable, Caller, Scope, Unauthenticated
from starter.jwks import MOST_BYTES, Jwks, is_loopback, safe_url
from starter.oidc import Oidc, oidc_of
from starter.tokens import create_token
from tests.starter.test_tokens import DAY, NOW

ISSUER = "https://id.example"
AUDIENCE = "taskflow"
ALGORITHMS = "RS256 ES256 EdDSA"


@cache
def key_of(name: str) -> Any:
    """A private key; the same for the same name."""
    match name.partition("-")[0]:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "short":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ed":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(ec.SECP256R1())


def jwk_of(name: str, **more: Any) -> dict[str, Any]:
    """The public key as an issuer publishes it, with its name as the key id."""
    kind = {"rsa": "RS256", "short": "RS256", "ed": "EdDSA", "p384": "ES384"}
    algorithm = get_default_algorithms()[kind.get(name.partition("-")[0], "ES256")]
    public: dict[str, Any] = algorithm.to_jwk(key_of(name).public_key(), as_dict=True)
    return {**public, "kid": name, "use": "sig", **more}


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ops@acme",
        "exp": now + 600,
        "nbf": now,
        "iat": now,
        "tenant_id": "acme",
        "scope": "openid task:read",
    }
    return {name: value for name, value in (said | changed).items() if value is not None}


def sign(
    name: str = "rsa-1", algorithm: str = "RS256", *, kid: str | None = None, **changed: Any
) -> str:
    """A token with these claims."""
    headers = {"kid": kid or name}
    return jwt.encode(claims(**changed), key_of(name), algorithm, headers=headers)


@dataclass
class Issuer:
    """A server of keys that can be told what to answer, and counts what it was asked."""

    server: HTTPServer
    names: list[str] = field(default_factory=lambda: ["rsa-1", "ec-1", "ed-1"])
    answer: Response | None = None
    asked: int = 0
    frozen: threading.Event | None = None

    @property
    def url(self) -> str:
        """Where its keys are."""
        return self.server.url_for("/keys")

    def serve(self, _: Request) -> Response:
        """One answer."""
        self.asked += 1
        if self.frozen:
            self.frozen.wait(20)
        keys = [jwk_of(name) for name in self.names]
        return self.answer or Response(json.dumps({"keys": keys}), content_type="application/json")


@dataclass
class Door:
    """What takes the issuer's tokens, and its clock for the age of keys."""

    issuer: Issuer
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.keys = Jwks(ISSUER, self.issuer.url, ALGORITHMS.split(), lambda: self.now)
        chosen = Settings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, tokens_file=None)
        self.oidc = Oidc(chosen, ISSUER, ALGORITHMS.split(), self.keys)

    async def caller(self, token: str) -> Caller:
        """Who is let in with it."""
        return await Bearer(None, self.oidc).caller(f"Bearer {token}")

    async def refusal(self, token: str) -> str:
        """Why nobody is."""
        with pytest.raises(Unauthenticated) as refused:
            await self.caller(token)
        assert refused.value.code.startswith("token_")
        return str(refused.value)


@pytest.fixture(scope="module")
def key_server() -> Iterator[HTTPServer]:
    """One server for all tests here."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def issuer(key_server: HTTPServer) -> Issuer:
    """An issuer with three keys."""
    key_server.clear()
    made = Issuer(key_server)
    key_server.expect_request("/keys").respond_with_handler(made.serve)
    return made


@pytest.fixture
def door(issuer: Issuer) -> Door:
    """What lets in whom the issuer vouches for."""
    return Door(issuer)


UNKNOWN = "this token is not known here"


@pytest.mark.parametrize(
    ("name", "algorithm"), [("rsa-1", "RS256"), ("ec-1", "ES256"), ("ed-1", "EdDSA")]
)
async def test_a_token_of_the_issuer_lets_in(door: Door, name: str, algorithm: str) -> None:
    """With every kind of key; its keys are fetched once."""
    for _ in range(3):
        caller = await door.caller(sign(name, algorithm))
    assert caller == Caller("ops@acme", "acme", frozenset({Scope.TASK_READ}))
    assert door.issuer.asked == 1


@pytest.mark.parametrize(
    ("changed", "tenant_id", "scopes"),
    [
        ({"scope": "task:read task:write x:y"}, "acme", {Scope.TASK_READ, Scope.TASK_WRITE}),
        ({"scope": ["event:publish", "x", 1, None]}, "acme", {Scope.EVENT_PUBLISH}),
        ({"scope": ""}, "acme", set()),
        ({"scope": None}, "acme", set()),
        ({"scope": "admin"}, "acme", TENANT_SCOPES),
        ({"scope": "admin", "tenant_id": None}, None, {Scope.ADMIN}),
        ({"aud": ["other", AUDIENCE]}, "acme", {Scope.TASK_READ}),
        ({"nbf": None, "iat": None}, "acme", {Scope.TASK_READ}),
    ],
)
async def test_claims_say_the_tenant_and_the_scopes(
    door: Door, changed: dict[str, Any], tenant_id: str | None, scopes: set[Scope]
) -> None:
    """Scopes of others are not our business, and a tenant confines even an admin."""
    caller = await door.caller(sign(**changed))
    assert caller == Caller("ops@acme", tenant_id, frozenset(scopes))


LATER, BEFORE = 4_000_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": BEFORE}, "has expired"),
        ({"nbf": LATER}, "not valid yet"),
        ({"iat": LATER}, "not valid yet"),
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "lacks the claim aud"),
        ({"aud": {"taskflow": 1}}, "another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": f"{ISSUER}/"}, "another issuer"),
        ({"iss": None}, "lacks the claim iss"),
        ({"exp": None}, "lacks the claim exp"),
        ({"exp": "soon"}, UNKNOWN),
        ({"exp": float("inf")}, UNKNOWN),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": ""}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"tenant_id": None}, "neither the claim tenant_id nor the scope admin"),
        ({"tenant_id": "ACME"}, "not a tenant's name"),
        ({"tenant_id": "acme\n"}, "not a tenant's name"),
        ({"tenant_id": ""}, "not a tenant's name"),
        ({"tenant_id": ["acme"]}, "not a tenant's name"),
        ({"tenant_id": False, "scope": "admin"}, "not a tenant's name"),
        ({"scope": {"task:read": True}}, "neither text nor a list"),
    ],
)
async def test_a_token_that_is_not_for_us_or_not_of_now_is_refused(
    door: Door, changed: dict[str, Any], why: str
) -> None:
    """Who has a signed token is told what is wrong with it."""
    assert why in await door.refusal(sign(**changed))


async def test_clocks_may_differ_a_little(door: Door) -> None:
    """By less than half a minute, either way."""
    now = int(time.time())
    await door.caller(sign(exp=now - 20))
    await door.caller(sign(nbf=now + 20, iat=now + 20))
    assert "expired" in await door.refusal(sign(exp=now - 40))
    assert "not valid yet" in await door.refusal(sign(nbf=now + 40))


def encoded(value: Any) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], secret: bytes | None) -> str:
    """A token that is signed with a shared secret, or not at all; no library would make it."""
    said = f"{encoded(header)}.{encoded(claims(scope='admin', tenant_id=None))}"
    made = b"" if secret is None else hmac.digest(secret, said.encode(), hashlib.sha256)
    return f"{said}.{encoded(made)}"


async def test_no_token_is_taken_without_a_signature_of_the_issuers(door: Door) -> None:
    """Not `none`, not a public key as a shared secret, not another's key under a known id."""
    public = key_of("rsa-1").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(jwk_of("rsa-1")).encode()
    tokens = [forged({"alg": name, "kid": "rsa-1"}, None) for name in ("none", "None", "", "RS256")]
    tokens += [forged({"alg": "HS256", "kid": "rsa-1"}, key) for key in (pem, der, jwk, b"")]
    tokens += [forged({"alg": "RS256", "kid": "rsa-1"}, pem)]
    tokens += [sign("rsa-2", kid="rsa-1"), sign("ec-1", "ES256", kid="rsa-1")]
    tokens += [sign("rsa-1", "RS512"), sign("rsa-1", "PS256")]  # real, and not pinned
    good = sign()
    head, body, signature = good.split(".")
    other = sign(scope="admin", tenant_id=None).split(".")[1]
    tokens += [f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}", f"{good}.x"]
    own = {"alg": "RS256", "jwk": jwk_of("rsa-2"), "jku": door.issuer.url}
    tokens += [forged(own, None), jwt.encode(claims(), key_of("rsa-1"), "RS256")]  # no key id
    tokens += [forged({"alg": ["RS256"], "kid": "rsa-1"}, pem), forged({"kid": "rsa-1"}, pem)]
    for token in tokens:
        assert await door.refusal(token) == UNKNOWN, token
    assert door.issuer.asked == 1


async def test_a_key_is_taken_only_for_what_it_is_published_for(door: Door) -> None:
    """Secrets in a set are ignored, and so are keys for encryption, weak ones and nonsense."""
    shared_secret = {"kty": "oct", "kid": "oct", "k": encoded(b"s" * 32), "alg": "HS256"}
    keys: list[Any] = [
        shared_secret,
        shared_secret | {"kid": "lie", "alg": "RS256"},
        jwk_of("rsa-enc", use="enc"),
        jwk_of("rsa-other", alg="RS512"),
        jwk_of("short"),
        jwk_of("p384"),
        {"kty": "RSA", "kid": "half", "n": 5},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "EC", "kid": "curve", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kid": ["x"]},
        "key",
        None,
        jwk_of("rsa-1"),
    ]
    door.issuer.answer = Response(json.dumps({"keys": keys}))
    with capture_logs() as logs:
        await door.caller(sign())
        assert {line["key_id"] for line in logs} == {"half", "empty", "curve"}
        with pytest.warns(InsecureKeyLengthWarning):
            weak = sign("short")
        for token in (weak, sign("rsa-enc"), sign("rsa-other")):
            assert await door.refusal(token) == UNKNOWN
        refused = [forged({"alg": "HS256", "kid": kid}, b"s" * 32) for kid in ("oct", "lie")]
        for token in (*refused, sign("ec-1", "ES256", kid="p384"), sign(kid="half")):
            assert await door.refusal(token) == UNKNOWN


async def test_a_new_key_is_found_and_unknown_ids_cost_little(door: Door) -> None:
    """After half a minute at the earliest, however many ask; a withdrawn key ends with the set."""
    await door.caller(sign())
    door.issuer.names = ["rsa-2"]
    assert await door.refusal(sign("rsa-2")) == UNKNOWN
    door.now += 31
    for caller in await asyncio.gather(*(door.caller(sign("rsa-2")) for _ in range(20))):
        assert caller.name == "ops@acme"
    assert door.issuer.asked == 2
    assert await door.refusal(sign()) == UNKNOWN
    for number in range(20):
        await door.refusal(sign(kid=f"unknown-{number}"))
    assert door.issuer.asked == 2


async def test_a_withdrawn_key_ends_with_the_life_of_what_was_fetched(door: Door) -> None:
    """Ten minutes; an issuer may also withdraw all it has."""
    await door.caller(sign())
    door.issuer.names = []
    door.now += 599
    await door.caller(sign())
    assert door.issuer.asked == 1
    door.now += 2
    with capture_logs() as logs:
        assert await door.refusal(sign()) == UNKNOWN
    assert [line["action"] for line in logs] == ["jwks_empty"]


async def test_while_the_issuer_is_down_known_keys_serve_for_an_hour(door: Door) -> None:
    """Then nobody is let in, and nobody is told to be unknown; back again, all is well."""
    await door.caller(sign())
    door.issuer.answer = Response("down", 503)
    with capture_logs() as logs:
        door.now += 3599
        for _ in range(10):
            await door.caller(sign())
        assert door.issuer.asked == 2
        with pytest.raises(AuthUnavailable):
            await door.caller(sign("rsa-2"))  # it may be a new key
        door.now += 2
        for _ in range(10):
            with pytest.raises(AuthUnavailable):
                await door.caller(sign())
        assert door.issuer.asked == 3
    assert {line["action"] for line in logs} == {"jwks_failed"}
    assert "answered 503" in logs[0]["reason"]
    door.issuer.answer = None
    door.now += 2
    await door.caller(sign())


_LARGE = json.dumps({"keys": [], "x": "x" * MOST_BYTES})


@pytest.mark.parametrize(
    "answer",
    [
        Response("", 500),
        Response("", 302, {"Location": "/keys"}),
        Response("<html>"),
        Response("[]"),
        Response('{"keys": {}}'),
        Response("[" * 50_000),
        Response(_LARGE),
        Response(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["500", "redirect", "html", "list", "no-keys", "deep", "large", "gzip"],
)
async def test_nonsense_instead_of_keys_lets_nobody_in(door: Door, answer: Response) -> None:
    """It is unavailable, which may be tried again; never an error of ours."""
    door.issuer.answer = answer
    with capture_logs() as logs, pytest.raises(AuthUnavailable):
        await door.caller(sign())
    assert [line["action"] for line in logs] == ["jwks_failed"]


async def test_without_keys_nobody_could_come_in_which_is_a_problem(door: Door) -> None:
    """For who asks whether the process is ready: the issuer is asked, unless keys are known."""
    door.issuer.answer = Response("down", 503)
    with capture_logs():
        assert "cannot be read now" in (await door.oidc.problem() or "")
    door.issuer.answer = None
    door.now += 2
    for _ in range(3):
        assert await door.oidc.problem() is None
    assert door.issuer.asked == 2


async def test_nobody_listens_where_the_keys_should_be(door: Door) -> None:
    """A refused connection is the same."""
    door.keys = Jwks(ISSUER, "http://127.0.0.1:1/keys", ALGORITHMS.split())
    with capture_logs(), pytest.raises(AuthUnavailable):
        await door.keys.key("rsa-1", "RS256")


async def test_one_slow_fetch_keeps_nobody_else_waiting(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While old keys are renewed the others go by them, and no answer is waited for without end."""
    await door.caller(sign())
    door.now += 601
    door.issuer.frozen = threading.Event()
    monkeypatch.setattr("starter.jwks.FETCH_SECONDS", 0.5)
    with capture_logs() as logs:
        first = asyncio.create_task(door.caller(sign()))
        await asyncio.sleep(0)
        await door.caller(sign())
        assert not first.done()
        await first
    door.issuer.frozen.set()
    assert [line["action"] for line in logs] == ["jwks_failed"]


async def test_keys_are_found_by_the_issuers_discovery(key_server: HTTPServer) -> None:
    """The document must be of the very issuer, and lead to where nobody can change an answer."""
    key_server.clear()
    issuer = key_server.url_for("")
    well_known = "/.well-known/openid-configuration"
    keys = Response(json.dumps({"keys": [jwk_of("rsa-1")]}))
    key_server.expect_request("/found").respond_with_response(keys)
    said: dict[str, Any] = {}
    key_server.expect_request(well_known).respond_with_handler(lambda _: Response(json.dumps(said)))
    good = {"issuer": issuer, "jwks_uri": key_server.url_for("/found")}
    for bad in (
        {},
        good | {"issuer": f"{issuer}/other"},
        good | {"jwks_uri": None},
        good | {"jwks_uri": "http://id.example/keys"},
        good | {"jwks_uri": "file:///etc/passwd"},
    ):
        said = bad
        with capture_logs(), pytest.raises(AuthUnavailable):
            await Jwks(issuer, None, ["RS256"]).key("rsa-1", "RS256")
    said = good
    chosen = Settings(oidc_issuer=issuer, oidc_audience=AUDIENCE, tokens_file=None)
    door = authenticator_of(chosen, loopback=False)
    assert (await door.caller(f"Bearer {sign(iss=issuer)}")).tenant_id == "acme"
    with pytest.raises(Unauthenticated):
        await door.caller(f"Bearer {sign()}")


async def test_tokens_and_jwts_may_be_taken_side_by_side(issuer: Issuer, tmp_path: Path) -> None:
    """What begins with tsk_ never goes to the issuer, and the claims' names are settings."""
    path = tmp_path / "tokens.json"
    token, shown = create_token(path, "acme", ["task:read"], lives=9999 * DAY, note="", now=NOW)
    chosen = Settings(
        tokens_file=path,
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_url=issuer.url,
        oidc_tenant_claim="https://acme.example/org",
        oidc_scope_claim="scp",
    )
    door = authenticator_of(chosen, loopback=False)
    assert (await door.caller(f"Bearer {shown}")).name == token.id
    with pytest.raises(Unauthenticated):
        await door.caller(f"Bearer tsk_{sign()}")
    assert issuer.asked == 0
    own: dict[str, Any] = {"https://acme.example/org": "globex", "scp": ["task:write"]}
    who = await door.caller(f"Bearer {sign(**own)}")
    assert who == Caller("ops@acme", "globex", frozenset({Scope.TASK_WRITE}))


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"oidc_algorithms": "HS256"}, {"ALGORITHMS"}),
        ({"oidc_algorithms": "RS256 none"}, {"ALGORITHMS"}),
        ({"oidc_algorithms": "RS256 HS512"}, {"ALGORITHMS"}),
        ({"oidc_algorithms": "rs256"}, {"ALGORITHMS"}),
        ({"oidc_algorithms": " "}, {"ALGORITHMS"}),
        ({"oidc_audience": None}, {"AUDIENCE"}),
        ({"oidc_audience": ""}, {"AUDIENCE"}),
        ({"oidc_issuer": None}, {"ISSUER"}),
        ({"oidc_issuer": ""}, {"ISSUER"}),
        ({"oidc_issuer": "http://id.example"}, {"ISSUER"}),
        ({"oidc_issuer": "id.example"}, {"ISSUER"}),
        ({"oidc_jwks_url": "http://10.0.0.1/keys"}, {"JWKS_URL"}),
        ({"oidc_jwks_url": "https://me:secret@id.example/keys"}, {"JWKS_URL"}),
        ({"oidc_scope_claim": "", "oidc_tenant_claim": ""}, {"SCOPE_CLAIM", "TENANT_CLAIM"}),
        ({"oidc_audience": "", "oidc_algorithms": "HS256"}, {"AUDIENCE", "ALGORITHMS"}),
    ],
)
def test_settings_that_would_open_a_door_are_refused(
    changed: dict[str, Any], names: set[str]
) -> None:
    """All at once, by the names of their variables, before anything listens."""
    said = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "tokens_file": None} | changed
    with pytest.raises(InvalidInput) as refused:
        authenticator_of(Settings(**said), loopback=True)
    where = {problem.where for problem in refused.value.problems}
    assert where == {f"TASKFLOW_OIDC_{name}" for name in names}
    assert "secret" not in str(refused.value)


def test_without_an_issuer_no_jwt_is_taken() -> None:
    """Nothing is set up half."""
    assert oidc_of(Settings(oidc_issuer=None)) is None


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine(host: str, own: bool) -> None:
    """Names and addresses that cannot lead elsewhere."""
    assert is_loopback(host) is own
    if host and ":" not in host:
        url = f"http://{host}:8088/keys"
        if own:
            assert safe_url(url).host == host
        else:
            with pytest.raises(ValueError, match="https"):
                safe_url(url)


_PARTS = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=60).map(encoded),
    st.dictionaries(
        st.sampled_from(["alg", "kid", "crit", "b64", "typ", "exp", "aud", "zip"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.just("RS256"),
            lambda inner: st.lists(inner, max_size=2),
            max_leaves=3,
        ),
    ).map(encoded),
)


@given(st.lists(_PARTS, min_size=1, max_size=4).map(".".join))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(f"{encoded(b'[' * 5000)}..")
@example(f"{encoded({'alg': 'RS256', 'kid': 'rsa-1'})}.{encoded(b'[' * 5000)}.AAAA")
@example(f"{encoded({'alg': 'RS256', 'kid': 'rsa-1', 'b64': False, 'crit': ['b64']})}..AAAA")
@example(f"{encoded({'alg': 'ES256', 'kid': 'ec-1'})}.{encoded({})}.AAAA")
@example(f"{encoded({'alg': 'EdDSA', 'kid': 'ed-1'})}.{encoded({})}.AAAA")
def test_no_jwt_breaks_anything_or_lets_in(issuer: Issuer, token: str) -> None:
    """Whatever stands in its parts, the answer is that nobody is known to call."""
    keys = Jwks(ISSUER, issuer.url, ALGORITHMS.split())
    chosen = Settings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, tokens_file=None)
    oidc = Oidc(chosen, ISSUER, ALGORITHMS.split(), keys)
    with pytest.raises(Unauthenticated):
        asyncio.run(Bearer(None, oidc).caller(f"Bearer {token}"))
