"""The page about who may come in says what the code says."""

import re

from shared.settings import ROOT, Settings
from starter.callers import Scope
from starter.jwks import LIFETIME_SECONDS, PAUSE_SECONDS, STALE_SECONDS
from starter.oidc import LEEWAY_SECONDS

PAGE = (ROOT / "docs/auth.md").read_text()


def test_the_scopes_are_those_in_the_code() -> None:
    """None is left out, and none is promised."""
    assert re.findall(r"^\| `([a-z:]+)` \|", PAGE, re.MULTILINE) == list(Scope)


def test_the_variables_are_those_of_the_settings() -> None:
    """All of OIDC, with what they mean when they are left out."""
    said = re.findall(r"^\| `TASKFLOW_(OIDC_[A-Z_]+)` \|.*\| (.+?) \|$", PAGE, re.MULTILINE)
    fields = {name: f for name, f in Settings.model_fields.items() if name.startswith("oidc_")}
    assert {name.lower() for name, _ in said} == set(fields)
    for name, left_out in said:
        default = fields[name.lower()].default
        assert default is None or left_out == f"`{default}`"


def test_the_times_are_those_in_the_code() -> None:
    """How long keys serve, and how far clocks may differ."""
    assert (LIFETIME_SECONDS, STALE_SECONDS) == (600, 3600)
    assert "Keys are kept for ten minutes" in PAGE
    assert "until they are an hour old" in PAGE
    assert f"at most every {PAUSE_SECONDS:g} seconds" in PAGE
    assert f"{LEEWAY_SECONDS} seconds of leeway" in PAGE
