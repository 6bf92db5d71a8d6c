"""Pages made of templates: escaped, confined to what this origin serves, and never stored."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from starter.api.console import PREFIX
from starter.api.console.links import link
from starter.api.console.session import Session
from starter.api.console.texts import (
    attempt_text,
    on_events,
    trigger_lines,
    triggers_text,
    zone_in_list,
)
from starter.api.console.visit import Visit
from starter.api.console.words import DONE
from starter.cli.times import relative, took
from starter.runs import waits_text
from starter.times import both, clock, rfc3339

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: browsers would say `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def static_file(name: str) -> tuple[bytes, str] | None:
    """What a static file holds, and its media type; None when there is none of this name."""
    if name not in _STATIC:
        return None
    return (files("starter.api.console") / "static" / name).read_bytes(), _STATIC[name]


@cache
def _static(name: str) -> str:
    """Where it is; another version is elsewhere, so that browsers may keep each for ever."""
    found = static_file(name)
    digest = sha256(found[0]).hexdigest()[:16] if found else ""
    return f"{PREFIX}/static/{name}?v={digest}"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("starter.api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": _static, "version": version("taskflow")}
    environment.filters |= {
        "attempt": attempt_text,
        "both": both,
        "clock": clock,
        "on_events": on_events,
        "relative": relative,
        "rfc3339": rfc3339,
        "took": took,
        "trigger_lines": trigger_lines,
        "triggers": triggers_text,
        "waits": waits_text,
        "zone": zone_in_list,
    }
    return environment


def page(
    request: Request,
    template: str,
    names: Mapping[str, Any],
    *,
    status: int = 200,
    visit: Visit | None = None,
    session: Session | None = None,
    headers: Mapping[str, str] | None = None,
    keep: bool = True,
) -> HTMLResponse:
    """A page; `visit` None: of nobody who is signed in. `keep`: whether its cookies are set."""
    session = session or (visit.session if visit else Session.of(request))
    html = (
        _templates()
        .get_template(template)
        .render(
            {
                "visit": visit,
                "session": session,
                "now": datetime.now(UTC),
                "done": DONE.get(session.told or ""),
                "path": request.url.path,
                "once": secrets.token_hex(8),
                "link": visit.link if visit else link,
                **names,
            }
        )
    )
    response = HTMLResponse(html, status, {**HEADERS, **(headers or {})})
    if keep:
        session.keep(response)
        session.forget_told(response)
    return response
