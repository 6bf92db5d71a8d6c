"""Errors as pages: what went wrong, and what to do."""

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from starter.api.console import PREFIX
from starter.api.console.render import page
from starter.api.console.session import Session, own_path
from starter.api.console.visit import visit_of
from starter.api.console.words import remedy_of
from starter.api.problems import MOST_ERRORS, HttpRefusal


def error_page(request: Request, refusal: HttpRefusal) -> HTMLResponse:
    """The page of an error; who is not known, or no more, may sign in on it."""
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        path = own_path(asked) if request.method == "GET" else PREFIX
        if _came_from_elsewhere(request):
            return page(request, "again.html", {"next_path": path}, keep=False)
        missing = refusal.code == "CREDENTIALS_MISSING"
        return sign_in_page(request, "" if missing else refusal.detail, next_path=path, status=401)
    names = {
        "status": int(refusal.status),
        "title": HTTPStatus(refusal.status).phrase,
        "refusal": refusal,
        "problems": [problem.as_json() for problem in refusal.errors[:MOST_ERRORS]],
        "remedy": remedy_of(refusal),
        "request_id": request.scope.get("taskflow.request_id", ""),
    }
    headers = {name: value for name, value in refusal.headers.items() if name != "Accept"}
    return page(
        request,
        "error.html",
        names,
        status=refusal.status,
        visit=visit_of(request),
        headers=headers,
    )


def _came_from_elsewhere(request: Request) -> bool:
    """Whether somebody followed a link of another site, such as an alert's.

    Browsers keep SameSite=Strict cookies back then; when the page itself goes on, they send them.
    """
    return request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"


def sign_in_page(request: Request, said: str, *, next_path: str, status: int) -> HTMLResponse:
    """The form for a token, and why it is shown."""
    names = {"said": said, "next_path": next_path}
    headers = {"WWW-Authenticate": 'Bearer realm="taskflow"'} if status == 401 else {}  # noqa: PLR2004
    return page(
        request,
        "sign_in.html",
        names,
        status=status,
        session=Session.of(request),
        headers=headers,
    )
