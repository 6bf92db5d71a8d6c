"""The page about the API says what the API says."""

import re

from shared.settings import ROOT, Settings
from starter.api import bodies, limits
from starter.api.__main__ import GRACE
from starter.api.envelope import _REQUEST_ID
from starter.api.problems import MOST_ERRORS
from starter.api.routes.reports import REPORT_BYTES
from starter.callers import Scope
from tests.api.harness import Door
from tests.api.test_problems import problem

PAGE = (ROOT / "docs/api.md").read_text()
ROUTES = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (.+) \| (?:none|`(\S+)`) \|$", PAGE, re.MULTILINE)


async def test_the_routes_are_those_of_openapi(api: Door) -> None:
    """All of them, in the same words."""
    document = (await api.http.get("/openapi.json")).json()
    served = {
        (method.upper(), path, operation["summary"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {(method, path, summary) for method, path, summary, _ in ROUTES} == served


async def test_each_route_asks_for_the_scope_that_the_page_names(api: Door) -> None:
    """Who has all other scopes is told which one is missing; where none is named none is needed."""
    for method, path, _, scope in ROUTES:
        others = set(Scope) - {Scope.ADMIN, scope}
        headers = api.caller("acme", *others) if scope else {}
        answer = await api.http.request(method, re.sub(r"{\w+}", "x", path), headers=headers)
        if scope:
            said = problem(answer, 403, "FORBIDDEN")["detail"]
            assert said == f"this needs the scope {scope}", (method, path)
        else:
            assert answer.status_code in (200, 503), path


def test_the_numbers_are_those_in_the_code() -> None:
    """Sizes, times, and how often one may ask."""
    assert f"registration or dry run | {bodies.REGISTRATION_BYTES >> 10} KiB" in PAGE
    assert (
        f"an event | {bodies.EVENT_BYTES >> 10} KiB; a batch {bodies.BATCH_BYTES >> 20} MiB" in PAGE
    )
    assert f"a report of a plugin | {REPORT_BYTES >> 10} KiB" in PAGE
    assert f"within {bodies.BODY_SECONDS:g} s" in PAGE
    assert f"| {limits.FAILURES_PER_MINUTE} in a minute" in PAGE
    assert f"up to {MOST_ERRORS} (" in PAGE
    assert f"({Settings.model_fields['api_requests_per_minute'].default})" in PAGE
    assert f"({Settings.model_fields['temporal_timeout'].default:g} s)" in PAGE
    assert (GRACE, "have four\nseconds to finish" in PAGE) == (4, True)
    [listed] = re.findall(r"1 to 128 of `(.+?)`, otherwise", PAGE)
    kinds = listed.replace("A-Z a-z 0-9", "AZaz09").replace(" ", "")
    assert all(_REQUEST_ID.fullmatch(char) for char in kinds)
