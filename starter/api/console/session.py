"""Who looks at the console: the cookies of a browser, and the proof that a form is our own.

A form is taken when three things agree: the browser says that it comes from a page of this origin,
the form holds the token of its session, and the session's cookie (SameSite=Strict) came with it.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from starter.api.console import PREFIX
from starter.api.problems import HttpRefusal

TOKEN, SESSION, TOLD = "taskflow_token", "taskflow_session", "taskflow_told"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field
MOST_TOKEN = 3800
"""Characters of a token: browsers keep 4096 bytes of a cookie, its name and attributes included."""
TOLD_SECONDS = 60
"""A message that no page showed until then is no news any more."""

_SESSION = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser's cookies say. `new`: it has none of a session yet, or none of ours."""

    secret: str
    token: str | None
    told: str | None
    secure: bool
    new: bool

    @classmethod
    def of(cls, request: Request) -> "Session":
        """That of a request; one that is new where there is none."""
        cookies = request.cookies
        said = cookies.get(SESSION, "")
        known = _SESSION.fullmatch(said) is not None
        return cls(
            secret=said if known else secrets.token_urlsafe(32),
            token=cookies.get(TOKEN) or None,
            told=cookies.get(TOLD),
            secure=request.url.scheme == "https",
            new=not known,
        )

    @property
    def credentials(self) -> str | None:
        """What would stand in an Authorization header."""
        return f"Bearer {self.token}" if self.token else None

    @property
    def form_token(self) -> str:
        """What every form of this session holds.

        It is bound to the bearer token too: who could plant a session's cookie in a browser would
        still not know what is in the other one.
        """
        return hmac.new(self.secret.encode(), (self.token or "").encode(), sha256).hexdigest()

    def check(self, form: Mapping[str, str]) -> None:
        """Errors: `HttpRefusal` 403 for a form that no page of this session showed."""
        given = form.get(FORM_TOKEN, "")
        if self.new or not hmac.compare_digest(given.encode(), self.form_token.encode()):
            detail = "the form is not of this session: nothing was changed"
            raise HttpRefusal(403, "FORM_EXPIRED", detail)

    def keep(self, response: Response) -> None:
        """Have the browser keep the session, if it is new."""
        if self.new:
            self._set(response, SESSION, self.secret)

    def sign_in(self, response: Response, token: str) -> None:
        """Keep a token until the browser is closed; its session is another one from now on."""
        self._set(response, TOKEN, token)
        self._set(response, SESSION, secrets.token_urlsafe(32))

    def sign_out(self, response: Response) -> None:
        """Forget both."""
        for name in (TOKEN, SESSION):
            response.delete_cookie(
                name, PREFIX, secure=self.secure, httponly=True, samesite="strict"
            )

    def tell(self, response: Response, what: str) -> None:
        """Have the next page say that something was done."""
        self._set(response, TOLD, what, TOLD_SECONDS)

    def forget_told(self, response: Response) -> None:
        """It is said once."""
        if self.told is not None:
            response.delete_cookie(
                TOLD, PREFIX, secure=self.secure, httponly=True, samesite="strict"
            )

    def _set(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=PREFIX,
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )


def check_origin(request: Request) -> None:
    """Errors: `HttpRefusal` 403 for a form that a page of another origin sent.

    Browsers say so in Sec-Fetch-Site, which no page can set; those that are too old for it, or came
    by plain HTTP, in Origin. Who says neither is no browser, and sends no form of ours.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        ours = origin is not None and _host(origin) == request.headers.get("host", "").lower()
    if not ours:
        detail = "the request was sent by a page of another site: nothing was changed"
        raise HttpRefusal(403, "FOREIGN_FORM", detail)


def own_path(path: str) -> str:
    """A path of the console to go to, or its first page: never another site."""
    target = urlsplit(path)
    inside = target.path == PREFIX or target.path.startswith(f"{PREFIX}/")
    plain = not target.scheme and not target.netloc and "\\" not in path and path.isprintable()
    return path if inside and plain and path.isascii() else PREFIX


def _host(origin: str) -> str | None:
    """`null` has none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
