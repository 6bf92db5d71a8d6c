"""After something was done: the page that shows it, and what that page says first."""

from fastapi.responses import RedirectResponse

from starter.api.console.visit import Visit


def act(visit: Visit, told: str | None, *parts: str) -> RedirectResponse:
    """Go to a page, by GET, so that reloading it does nothing again.

    `told`: the word for what was done. What lies ahead may be otherwise by now.
    """
    response = RedirectResponse(visit.link(*parts), 303)
    response.headers["Cache-Control"] = "no-store"
    if told is not None:
        visit.session.tell(response, told)
        tenant_id = visit.tenant_id
        visit.context.ahead.forget(lambda key: isinstance(key, tuple) and key[0] == tenant_id)
    return response


def reason_of(visit: Visit) -> str:
    """The reason in a form; none is fine where the page does not ask for one."""
    return visit.form.get("reason", "").strip()
