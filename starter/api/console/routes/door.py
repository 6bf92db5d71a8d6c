"""Signing in by a bearer token, signing out, and the files that pages are made of beside HTML."""

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from shared.errors import NotFound
from starter.api.access import Audited, Shared, authenticated
from starter.api.console import PREFIX
from starter.api.console.errors import sign_in_page
from starter.api.console.forms import read_form
from starter.api.console.render import HEADERS, static_file
from starter.api.console.session import MOST_TOKEN, Session, check_origin, own_path
from starter.callers import Unauthenticated

router = APIRouter(prefix=PREFIX)
log = structlog.get_logger(__name__)

_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


@router.get("/sign-in")
async def form(request: Request, context: Shared) -> Response:
    """The form; where nobody is asked who they are there is nothing to fill in."""
    if context.loopback_only:
        return RedirectResponse(PREFIX, 303)
    return sign_in_page(request, "", next_path=PREFIX, status=200)


@router.post("/sign-in")
async def sign_in(request: Request, context: Shared, audit: Audited) -> Response:
    """Take a token, if it is one that the API takes too."""
    check_origin(request)
    session, fields = Session.of(request), await read_form(request)
    session.check(fields)
    token, path = fields.get("token", "").strip(), own_path(fields.get("next", PREFIX))
    if len(token) > MOST_TOKEN:
        text = f"the token is longer than the {MOST_TOKEN:,} characters that a browser keeps"
        return sign_in_page(request, text, next_path=path, status=422)
    try:
        caller = await authenticated(request, context, audit, lambda _: f"Bearer {token}")
    except Unauthenticated as error:
        audit.code = error.code.upper()
        text = "paste a token" if not token else str(error)
        return sign_in_page(request, text, next_path=path, status=401)
    log.info("signed in to the console", action="console_signed_in", who=caller.name)
    response = RedirectResponse(path, 303, {"Cache-Control": "no-store"})
    session.sign_in(response, token)
    session.tell(response, "signed-in")
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the token; it goes on being one, until it expires or is revoked."""
    check_origin(request)
    session = Session.of(request)
    session.check(await read_form(request))
    response = RedirectResponse(f"{PREFIX}/sign-in", 303, {"Cache-Control": "no-store"})
    session.sign_out(response)
    session.tell(response, "signed-out")
    return response


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """A file of the package. Errors: `NotFound`."""
    if (found := static_file(name)) is None:
        raise NotFound("there is no such file")
    content, media_type = found
    return Response(content, 200, {**HEADERS, **_FOR_EVER}, media_type)
