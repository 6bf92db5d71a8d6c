"""Whom a caller may speak for, and what they may do: every case as a table."""

import pytest

from domain.problems import InvalidInput
from shared.errors import NotFound
from starter.callers import TENANT_SCOPES, Caller, Forbidden, Scope, caller_of

ADMIN = Caller("root", None, frozenset({Scope.ADMIN}))
READER = Caller("reader", "acme", frozenset({Scope.TASK_READ}))
LOCAL = Caller("anonymous", None, frozenset(Scope), default_tenant="home")


@pytest.mark.parametrize("scope", Scope)
def test_a_caller_may_what_their_scopes_say_and_no_scope_holds_another(scope: Scope) -> None:
    """Writing is not reading; only admin is everything."""
    assert READER.may(scope) is (scope is Scope.TASK_READ)
    assert ADMIN.may(scope)
    for held in TENANT_SCOPES:
        assert Caller("x", "acme", frozenset({held})).may(scope) is (scope is held)


def test_who_lacks_a_scope_is_told_which() -> None:
    """The scope is named in words and for machines."""
    READER.require(Scope.TASK_READ)
    with pytest.raises(Forbidden, match="needs the scope task:write") as refused:
        READER.require(Scope.TASK_WRITE)
    assert refused.value.scope is Scope.TASK_WRITE


@pytest.mark.parametrize(
    ("caller", "named", "tenant_id"),
    [
        (READER, None, "acme"),
        (READER, "acme", "acme"),
        (ADMIN, "acme", "acme"),
        (ADMIN, "globex", "globex"),
        (LOCAL, None, "home"),
        (LOCAL, "acme", "acme"),
    ],
)
def test_a_request_is_about_the_callers_tenant_or_the_one_an_admin_names(
    caller: Caller, named: str | None, tenant_id: str
) -> None:
    """A tenant's caller may name its own; an admin names any."""
    assert caller.tenant(named) == tenant_id


@pytest.mark.parametrize("named", ["globex", "", "ACME", "acme ", "acme\n", "../acme", "\ud800"])
def test_a_tenant_of_others_is_not_found(named: str) -> None:
    """Whether it exists, or could exist, is not told."""
    with pytest.raises(NotFound, match="there is no tenant"):
        READER.tenant(named)


@pytest.mark.parametrize("named", [None, "", "ACME", "acme\n", "../acme", "a" * 65, "\ud800"])
def test_an_admin_must_name_what_can_be_a_tenant(named: str | None) -> None:
    """The problem names the parameter."""
    with pytest.raises(InvalidInput) as refused:
        ADMIN.tenant(named)
    [problem] = refused.value.problems
    assert problem.where == "tenant_id"


@pytest.mark.parametrize(
    ("tenant_id", "scopes"),
    [(None, {Scope.TASK_READ}), (None, set()), ("acme", {Scope.ADMIN}), ("acme", set(Scope))],
)
def test_nobody_is_of_no_tenant_without_being_admin_or_admin_of_one(
    tenant_id: str | None, scopes: set[Scope]
) -> None:
    """Such a caller cannot be made, so no route can meet one."""
    with pytest.raises(ValueError, match="either"):
        Caller("x", tenant_id, frozenset(scopes))


@pytest.mark.parametrize(
    ("tenant_id", "scopes", "granted"),
    [
        ("acme", {Scope.TASK_READ}, {Scope.TASK_READ}),
        ("acme", set(), set()),
        ("acme", {Scope.ADMIN}, TENANT_SCOPES),
        ("acme", {Scope.ADMIN, Scope.TASK_READ}, TENANT_SCOPES),
        (None, {Scope.ADMIN}, {Scope.ADMIN}),
        (None, {Scope.TASK_READ}, None),
        (None, set(), None),
    ],
)
def test_a_tenant_confines_what_a_credential_grants(
    tenant_id: str | None, scopes: set[Scope], granted: set[Scope] | None
) -> None:
    """Admin of a tenant is everything within it; without a tenant only an admin is let in."""
    caller = caller_of("x", tenant_id, scopes)
    assert caller == (None if granted is None else Caller("x", tenant_id, frozenset(granted)))
