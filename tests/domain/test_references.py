"""Secrets in params: what names one, what is put in its place, and what never comes back."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from domain.masking import LEAST_MASKED, NOTHING, Mask
from domain.problems import InvalidInput
from domain.references import secrets_in, with_secrets
from tests.conftest import task_of

AWKWARD = 'hunter2/"\u00fc+?\\&x'


def test_references_are_found_and_replaced_at_any_depth() -> None:
    """Whole values only; keys and texts that are no references stay as they are."""
    params: dict[str, JsonValue] = {
        "a": "secret://one",
        "b": [{"c": "secret://two.2"}, "secret://one", 1, None, "text"],
        "d": "secrets",
    }
    assert secrets_in(params) == {"one", "two.2"}
    assert with_secrets(params, {"one": "1st", "two.2": "secret://one"}) == {
        "a": "1st",
        "b": [{"c": "secret://one"}, "1st", 1, None, "text"],
        "d": "secrets",
    }
    assert params["a"] == "secret://one"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("secret://", "names no secret"),
        ("secret://../globex/key", "names no secret"),
        ("secret://Key", "names no secret"),
        ("secret://" + "k" * 65, "names no secret"),
        ("Bearer secret://key", "must be the whole value"),
    ],
)
def test_what_is_nearly_a_reference_is_refused(value: str, message: str) -> None:
    """It would reach the plugin as it is written; its path says where it stands."""
    with pytest.raises(InvalidInput) as error:
        task_of(
            params={"list": [{"key": value}]},
            compensation={"plugin_id": "p", "params": {"k": value}},
        )
    first, second = error.value.problems
    assert (first.where, second.where) == (
        "tasks[0].compensation.params.k",
        "tasks[0].params.list[0].key",
    )
    assert message in first.message


def test_a_mask_takes_values_out_wherever_they_stand() -> None:
    """Texts, keys, numbers, several in one, the longer of two that begin alike."""
    mask = Mask({"a": "hunter22", "b": "hunter22-long", "n": "12345678"})
    said: Any = {"x hunter22 y": ["hunter22-long", 12345678, 1.5, True, None], "ok": "hunter"}
    assert mask.json(said) == {
        "x [secret://a] y": ["[secret://b]", "[secret://n]", 1.5, True, None],
        "ok": "hunter",
    }
    assert NOTHING.json(said) is said


@pytest.mark.parametrize(
    "written",
    [
        AWKWARD,
        json.dumps({"k": AWKWARD}),
        json.dumps({"k": AWKWARD}, ensure_ascii=False),
        f"https://host/?k={quote(AWKWARD, safe='')}",
        base64.b64encode(AWKWARD.encode()).decode(),
        base64.b64encode(f"me:{AWKWARD}".encode()).decode(),
        base64.urlsafe_b64encode(f"you:{AWKWARD}!".encode()).decode(),
    ],
)
def test_a_mask_knows_how_others_write_a_value(written: str) -> None:
    """JSON in a text, a URL, an Authorization header."""
    assert "[secret://key]" in Mask({"key": AWKWARD}).text(f"it failed: {written}.")


def test_lines_of_a_value_are_masked_and_short_ones_are_not() -> None:
    """A key of several lines is told line by line; what is short stands in innocent text too."""
    mask = Mask({"pem": "-----BEGIN-----\nc2VjcmV0\nab\n", "pin": "12345"})
    assert mask.text("line 2: c2VjcmV0, ab") == "line 2: [secret://pem], ab"
    assert mask.text("12345") == "12345"
    assert len("12345") < LEAST_MASKED


@given(st.text(min_size=LEAST_MASKED), st.text(), st.text())
def test_no_value_passes_a_mask(value: str, before: str, after: str) -> None:
    """Whatever it is made of and whatever stands around it."""
    if value in "[secret://key]":
        return
    assert value not in Mask({"key": value}).text(before.replace(value, "") + value)
    assert value not in Mask({"key": value}).text(value + after.replace(value, ""))
