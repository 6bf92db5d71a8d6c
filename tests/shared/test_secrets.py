"""Where the values of secrets come from, and whose they are."""

import os
import re
from pathlib import Path

import pytest

from domain.ids import NAME
from shared.secrets import MAX_SECRET_BYTES, SecretNotFound, Vault, variable_of


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """An empty folder and an empty environment."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "globex").mkdir()
    return Vault(tmp_path, {})


def put(vault: Vault, name: str, content: bytes, tenant_id: str = "acme") -> Path:
    """Write a secret."""
    assert vault.folder
    path = vault.folder / tenant_id / name
    path.write_bytes(content)
    return path


def refused(vault: Vault, name: str = "key", tenant_id: str = "acme") -> str:
    """Why a secret cannot be read."""
    with pytest.raises(SecretNotFound) as error:
        vault.value(tenant_id, name)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"hunter22", "hunter22"),
        (b"hunter22\n", "hunter22"),
        (b"hunter22\r\n", "hunter22"),
        (b" two\nlines \n\n", " two\nlines \n"),
        ("schl\u00fcssel".encode(), "schl\u00fcssel"),
    ],
)
def test_a_file_is_the_value_without_its_line_end(vault: Vault, content: bytes, value: str) -> None:
    """One line end is the editor's; everything else belongs to the value."""
    put(vault, "key", content)
    assert vault.value("acme", "key") == value


def test_a_file_goes_before_a_variable(vault: Vault) -> None:
    """And the variable is there for those who mount nothing."""
    variables = {variable_of("acme", "db-password"): "from the environment"}
    both = Vault(vault.folder, variables)
    assert both.value("acme", "db-password") == "from the environment"
    put(vault, "db-password", b"from a file")
    assert both.value("acme", "db-password") == "from a file"
    assert Vault(None, variables).value("acme", "db-password") == "from the environment"


def test_what_kubernetes_mounts_is_read(vault: Vault) -> None:
    """A mounted secret is a link to a link beside it; a whole folder may be one, too."""
    assert vault.folder
    for tenant in ("acme", "initech"):
        data = vault.folder / ("acme" if tenant == "acme" else "") / "..2026_01_01"
        where = data if tenant == "acme" else data / tenant
        where.mkdir(parents=True)
        (where / "key").write_text(f"of {tenant}")
        (data.parent / "..data").symlink_to(data.name)
    (vault.folder / "acme/key").symlink_to("..data/key")
    (vault.folder / "initech").symlink_to("..data/initech")
    assert vault.value("acme", "key") == "of acme"
    assert vault.value("initech", "key") == "of initech"


def test_no_link_leads_to_another_tenant(vault: Vault) -> None:
    """Neither that of a file, nor that of a folder, nor one out of all of them."""
    assert vault.folder
    other = put(vault, "key", b"of globex", "globex")
    (vault.folder / "acme/key").symlink_to(other)
    (vault.folder / "acme/host").symlink_to("/etc/hostname")
    (vault.folder / "initech").symlink_to("globex")
    (vault.folder / "hooli").symlink_to("/etc")
    for tenant, name in [
        ("acme", "key"),
        ("acme", "host"),
        ("initech", "key"),
        ("hooli", "passwd"),
    ]:
        assert (
            refused(vault, name, tenant)
            == f"secret://{name} is a link that leaves the tenant's folder"
        )


@pytest.mark.parametrize("name", ["../globex/key", "..", ".", "", "a/b", "A", "key\n", "k\0", "-k"])
def test_what_is_no_name_is_never_a_path(vault: Vault, name: str) -> None:
    """Names were checked when the task was registered, and are once more."""
    put(vault, "key", b"of globex", "globex")
    for found in (refused(vault, name), refused(vault, "key", name)):
        assert "is not a name" in found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter\xff22", "is not UTF-8 text"),
        (b"x" * (MAX_SECRET_BYTES + 1), f"is larger than {MAX_SECRET_BYTES} bytes"),
    ],
)
def test_what_cannot_be_a_value_is_said_without_it(vault: Vault, content: bytes, why: str) -> None:
    """The text names the reference, and no cause carries a part of the value."""
    put(vault, "key", content)
    with pytest.raises(SecretNotFound) as error:
        vault.value("acme", "key")
    assert str(error.value) == f"secret://key {why}"
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__


@pytest.mark.parametrize("kind", ["folder", "pipe", "circle"])
def test_only_files_are_read(vault: Vault, kind: str) -> None:
    """A pipe that nobody writes to holds no call up."""
    assert vault.folder
    path = vault.folder / "acme/key"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("key")
    assert refused(vault).startswith("secret://key ")


def test_a_missing_secret_says_where_it_was_looked_for(vault: Vault) -> None:
    """The file and the variable, so that nobody has to work them out."""
    assert refused(vault, "db-password") == (
        "secret://db-password is not there: there is no file acme/db-password in the folder of "
        "secrets, and the variable TASKFLOW_SECRET_ACME__DB_2DPASSWORD is not set"
    )
    assert refused(Vault(None, {}), "db-password") == (
        "secret://db-password is not there: the variable TASKFLOW_SECRET_ACME__DB_2DPASSWORD is "
        "not set"
    )


_PARTS = [
    "a",
    "a-",
    "a_",
    "a.",
    "a-2d",
    "2d",
    "2d-",
    "a--b",
    "b",
    "b--c",
    "a_5f",
    "a-b",
    "a__b",
    "c",
]


def test_no_two_secrets_share_a_variable() -> None:
    """Every pair of a tenant and a name that look alike once they are in capitals."""
    assert all(re.fullmatch(NAME, part) for part in _PARTS)
    pairs = [(tenant, name) for tenant in _PARTS for name in _PARTS]
    variables = {variable_of(*pair) for pair in pairs}
    assert len(variables) == len(pairs)
    assert all(re.fullmatch("[A-Z0-9_]+", variable) for variable in variables)
