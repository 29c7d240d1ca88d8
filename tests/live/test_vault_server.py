"""The Vault that the tests use is a real one: it keeps its data, seals itself and expires what it issued."""

from __future__ import annotations

import pytest
from vault_server import Answer, VaultServer

pytestmark = pytest.mark.live


def test_a_killed_server_comes_back_sealed_with_its_data(own_vault: VaultServer) -> None:
    """So a test can kill it in the middle of a run."""
    own_vault.write("secret/data/veilflow", data={"keyring": "kept"})
    own_vault.kill()
    own_vault.start()
    with pytest.raises(Answer) as sealed:
        own_vault.ask("GET", "secret/data/veilflow")
    assert sealed.value.status == 503
    own_vault.unseal()
    assert own_vault.ask("GET", "secret/data/veilflow")["data"]["data"] == {"keyring": "kept"}


def test_a_request_stands_in_the_audit_log(own_vault: VaultServer) -> None:
    """What the tests count requests with."""
    role_id, secret_id = own_vault.approle()
    own_vault.ask("POST", "auth/approle/login", {"role_id": role_id, "secret_id": secret_id}, token="")
    assert own_vault.audited() == [("update", "auth/approle/login")]


@pytest.mark.parametrize("method", ["approle", "cert", "jwt", "kubernetes", "userpass"])
def test_every_way_to_log_in_is_compiled_in(vault: VaultServer, method: str) -> None:
    """Kubernetes and JWT by HashiCorp's own plug-ins."""
    assert vault.kind != "built" or vault.ask("POST", f"sys/auth/probe-{method}", {"type": method}) == {}
