"""The store of kind `vault` against a real Vault: engines, ways to log in, and everything that may be wrong."""

from __future__ import annotations

import base64
import datetime
import json
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from fault_proxy import FaultProxy
from vault_server import VaultServer, running_vault

from veilflow.errors import VeilError
from veilflow.model import Secret, SecretRef
from veilflow.secret_stores.vault import Transit, VaultStore, parse_options
from veilflow.testing import SecretStoreContract, refused

pytestmark = pytest.mark.live

Open = Callable[..., VaultStore]
WRITER = """\
path "secret/*" { capabilities = ["create", "update", "read"] }
path "kv1/*" { capabilities = ["read"] }
path "transit/*" { capabilities = ["update"] }
path "database/creds/*" { capabilities = ["read"] }
"""
VALUE = "vault-value-marker"


@pytest.fixture
def open_vault(vault: VaultServer, tmp_path: Path) -> Iterator[Open]:
    """Opens stores that log in as a writer by AppRole, unless told otherwise; closes them."""
    vault.write("sys/policies/acl/writer", policy=WRITER)
    vault.write("auth/approle/role/writer", token_policies="writer", token_period="45s")
    opened: list[VaultStore] = []

    def make(auth: dict[str, Any] | None = None, address: str | None = None, **options: Any) -> VaultStore:
        given = {"address": address or vault.address, "auth": auth or approle(vault, tmp_path), **options}
        opened.append(VaultStore(parse_options(given, tmp_path), tmp_path))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def approle(vault: VaultServer, directory: Path, role: str = "writer") -> dict[str, Any]:
    role_id, secret_id = vault.approle(role)
    return {"approle": {"role_id": role_id, "secret_id": {"file": private(directory / "secret_id", secret_id)}}}


def private(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


# --- the contract ------------------------------------------------------------------------


class TestKv2KeepsTheContract(SecretStoreContract):
    """Every secret in a folder of its own."""

    @pytest.fixture
    def store(self, open_vault: Open) -> VaultStore:
        self.folder = uuid.uuid4().hex
        return open_vault()

    def ref(self, name: str) -> SecretRef:
        return SecretRef(f"secret/{self.folder}/{name}", field="value", engine="kv2")


class TestTransitKeepsTheContract(SecretStoreContract):
    """What is encrypted lies in the project, the key in Vault."""

    @pytest.fixture
    def store(self, open_vault: Open, vault: VaultServer) -> VaultStore:
        vault.write("transit/keys/contract", type="aes256-gcm96")
        return open_vault()

    def ref(self, name: str) -> SecretRef:
        return SecretRef("transit/keys/contract", field=name, engine="transit")


# --- engines -----------------------------------------------------------------------------


def test_a_version_of_a_secret_is_read_as_it_was(open_vault: Open, vault: VaultServer) -> None:
    """And without one the newest; the reading tells which it was."""
    for value in ("first-value", "second-value"):
        vault.write("secret/data/versions", data={"key": value})
    store = open_vault()
    assert store.read(SecretRef("secret/versions", "key", version=1)).secret.reveal() == "first-value"
    newest = store.read(SecretRef("secret/versions", "key"))
    assert (newest.secret.reveal(), newest.version) == ("second-value", "2")


def test_kv_1_is_read_and_not_written(open_vault: Open, vault: VaultServer) -> None:
    """It has no way to compare before it writes."""
    vault.write("kv1/login", username="loader", password=VALUE)
    store = open_vault()
    assert store.read(SecretRef("kv1/login", "password", "kv1")).secret.reveal() == VALUE
    whole = json.loads(store.read(SecretRef("kv1/login", engine="kv1")).secret.reveal())
    assert whole == {"username": "loader", "password": VALUE}
    refused("VEIL224", lambda: store.write(SecretRef("kv1/new", "a", "kv1"), Secret(VALUE)), VALUE)


def test_replacing_one_field_keeps_the_others(open_vault: Open, vault: VaultServer) -> None:
    """A login's password is changed, not its user's name lost."""
    vault.write("secret/data/login", data={"username": "loader", "password": "old-password"})
    store, ref = open_vault(), SecretRef("secret/login", "password")
    store.replace(ref, store.read(ref), Secret("new-password"))
    assert vault.ask("GET", "secret/data/login")["data"]["data"] == {"username": "loader", "password": "new-password"}


def test_a_policy_that_only_reads_stays_so(open_vault: Open, vault: VaultServer, tmp_path: Path) -> None:
    """Writing names the line that would allow it, and is not asked for."""
    store = open_vault(approle(vault, tmp_path, "loader"))
    error = refused("VEIL224", lambda: store.write(SecretRef("secret/veilflow", "a"), Secret(VALUE)), VALUE)
    assert 'path "secret/data/veilflow" { capabilities = ["create", "update"] }' in error.hint


@pytest.fixture
def transit(open_vault: Open, vault: VaultServer) -> Transit:
    vault.write("transit/keys/veilflow", type="aes256-gcm96")
    return open_vault().transit("transit")


def test_transit_treats_many_values_in_their_order(transit: Transit, vault: VaultServer) -> None:
    """More than fit into one request; what comes back is what went in."""
    values = [f"value {number}".encode() for number in range(10_050)]
    ciphertexts = transit.encrypt("veilflow", values)
    assert transit.decrypt("veilflow", ciphertexts) == values
    assert len(set(ciphertexts)) == len(values)


def test_transits_hmac_is_vaults_own(transit: Transit, vault: VaultServer) -> None:
    """The batch gives what a single request of somebody else's gives."""
    batch = transit.hmac("veilflow", [b"one", b"two"])
    single = vault.write("transit/hmac/veilflow/sha2-256", input=base64.b64encode(b"two").decode())
    assert batch[1] == single["data"]["hmac"] and batch[0] != batch[1]


def test_a_data_key_comes_back_from_its_ciphertext(transit: Transit) -> None:
    """Which is all that has to be kept of it."""
    key, ciphertext = transit.data_key("veilflow")
    assert transit.decrypt("veilflow", [ciphertext]) == [base64.b64decode(key.reveal())]
    assert len(base64.b64decode(key.reveal())) == 32


def test_what_another_key_encrypted_is_refused(transit: Transit, vault: VaultServer) -> None:
    """By a code of its own: the file and the key do not belong together."""
    vault.write("transit/keys/other", type="aes256-gcm96")
    foreign = transit.encrypt("other", [b"x"])
    refused("VEIL222", lambda: transit.decrypt("veilflow", foreign))


def test_a_wrapped_secret_lies_in_the_project_as_ciphertext(
    open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """Its version names the Transit key's version and this very ciphertext."""
    vault.write("transit/keys/veilflow", type="aes256-gcm96")
    store, ref = open_vault(), SecretRef("transit/keys/veilflow", "keyring", "transit")
    store.write(ref, Secret(VALUE))
    kept = (tmp_path / ".veil/keys/keyring.transit.json").read_text()
    assert "vault:v1:" in kept and VALUE not in kept
    reading = store.read(ref)
    assert reading.secret.reveal() == VALUE
    assert reading.version is not None and reading.version.startswith("v1:")


# --- logins ------------------------------------------------------------------------------


def by_approle(vault: VaultServer, directory: Path) -> dict[str, Any]:
    return approle(vault, directory)


def by_a_wrapped_secret_id(vault: VaultServer, directory: Path) -> dict[str, Any]:
    role_id, _ = vault.approle("writer")
    wrapped = vault.ask("POST", "auth/approle/role/writer/secret-id", {}, wrap="60s")["wrap_info"]["token"]
    place = {"file": private(directory / "wrapped", wrapped), "wrapped": True}
    return {"approle": {"role_id": role_id, "secret_id": place}}


def by_userpass(vault: VaultServer, directory: Path) -> dict[str, Any]:
    enabled(vault, "userpass")
    vault.write("auth/userpass/users/etl", password="userpass-marker", token_policies="writer", token_period="45s")
    return {"userpass": {"username": "etl", "password": {"file": private(directory / "password", "userpass-marker")}}}


def by_token(vault: VaultServer, directory: Path) -> dict[str, Any]:
    made = vault.write("auth/token/create", policies=["writer"], ttl="10m", no_parent=True)
    return {"token": {"file": private(directory / "token", made["auth"]["client_token"])}}


def by_jwt(vault: VaultServer, directory: Path) -> dict[str, Any]:
    enabled(vault, "jwt")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    vault.write("auth/jwt/config", jwt_validation_pubkeys=[public.decode()])
    vault.write(
        "auth/jwt/role/etl", role_type="jwt", user_claim="sub", bound_audiences=["vault"], token_policies="writer",
        token_period="45s",
    )  # fmt: skip
    claims = {"sub": "etl", "aud": "vault", "exp": int(time.time()) + 600, "iat": int(time.time())}
    (directory / "jwt").write_text(signed(claims, key) + "\n")
    return {"jwt": {"role": "etl", "token": {"file": str(directory / "jwt")}}}


def by_kubernetes(vault: VaultServer, directory: Path) -> dict[str, Any]:
    """HashiCorp's plug-in asks the cluster's TokenReview; the cluster is the one thing here that is not real."""
    enabled(vault, "kubernetes")
    server = ThreadingHTTPServer(("127.0.0.1", 0), TokenReview)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    vault.write(
        "auth/kubernetes/config", kubernetes_host=f"http://127.0.0.1:{server.server_port}", disable_local_ca_jwt=True,
        token_reviewer_jwt=signed({"sub": "reviewer"}, ec.generate_private_key(ec.SECP256R1())),
    )  # fmt: skip
    vault.write(
        "auth/kubernetes/role/etl", bound_service_account_names="etl", bound_service_account_namespaces="data",
        token_policies="writer", token_period="45s", audience="",
    )  # fmt: skip
    claims = {
        "iss": "https://cluster.test", "sub": "system:serviceaccount:data:etl", "exp": int(time.time()) + 600,
        "iat": int(time.time()), "nbf": int(time.time()),
        "kubernetes.io": {"namespace": "data", "serviceaccount": {"name": "etl", "uid": "uid-1"}},
    }  # fmt: skip
    (directory / "mounted").write_text(signed(claims, ec.generate_private_key(ec.SECP256R1())))
    return {"kubernetes": {"role": "etl", "token": {"file": str(directory / "mounted")}}}


class TokenReview(BaseHTTPRequestHandler):
    """A cluster that knows every service account token to be that of `data:etl`."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        user = {"username": "system:serviceaccount:data:etl", "uid": "uid-1", "groups": ["system:serviceaccounts"]}
        body = json.dumps(
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
             "status": {"authenticated": True, "user": user}}
        ).encode()  # fmt: skip
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


def signed(claims: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """A JSON Web Token by ES256 (RFC 7518, 3.4)."""
    parts = [{"alg": "ES256", "typ": "JWT"}, claims]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    return f"{text}.{signature}"


def enabled(vault: VaultServer, method: str) -> None:
    if f"{method}/" not in vault.ask("GET", "sys/auth")["data"]:
        vault.enable("auth", method, method)


LOGINS = [by_approle, by_a_wrapped_secret_id, by_userpass, by_token, by_jwt, by_kubernetes]


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.__name__)
def test_every_way_to_log_in_reads_a_secret(
    login: Callable[[VaultServer, Path], dict[str, Any]], open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """With the real plug-in on Vault's side."""
    vault.write("secret/data/app", data={"key": VALUE})
    store = open_vault(login(vault, tmp_path))
    assert store.read(SecretRef("secret/app", "key")).secret.reveal() == VALUE


@pytest.fixture
def tls_vault(vault_binary: None, tmp_path: Path) -> Iterator[tuple[VaultServer, dict[str, str]]]:
    """A Vault with a certificate of its own CA, and the files of both sides."""
    authority = certified("ca", None)
    server, client = certified("127.0.0.1", authority), certified("etl", authority)
    texts = {
        "ca.pem": pem(authority[0]), "server.pem": pem(server[0]), "server.key": key_pem(server[1]),
        "client.pem": pem(client[0]), "client.key": key_pem(client[1]),
    }  # fmt: skip
    files = {name: private(tmp_path / name, text) for name, text in texts.items()}
    with running_vault(tmp_path / "vault", tls=(Path(files["server.pem"]), Path(files["server.key"]))) as vault:
        vault.write("secret/data/veilflow", data={"key": VALUE})
        yield vault, files


def test_a_certificate_logs_in_over_tls(tls_vault: tuple[VaultServer, dict[str, str]], tmp_path: Path) -> None:
    """Vault's own certificate is checked against the store's `ca`, and without it nothing is sent."""
    vault, files = tls_vault
    vault.enable("auth", "cert", "cert")
    authority = Path(files["ca.pem"]).read_text()
    vault.write("auth/cert/certs/etl", certificate=authority, token_policies="veilflow", token_period="45s")
    options = {
        "address": vault.address, "auth": {"cert": {"name": "etl"}},
        "client_certificate": {"cert": files["client.pem"], "key": files["client.key"]},
    }  # fmt: skip
    store = VaultStore(parse_options({**options, "ca": files["ca.pem"]}, tmp_path), tmp_path)
    assert store.read(SecretRef("secret/veilflow", "key")).secret.reveal() == VALUE
    store.close()
    distrusting = VaultStore(parse_options(options, tmp_path), tmp_path)
    error = refused("VEIL404", lambda: distrusting.read(SecretRef("secret/veilflow", "key")))
    assert "is not trusted" in error.problem
    assert vault.audited() == [
        ("update", "auth/cert/login"), ("read", "secret/data/veilflow"), ("update", "auth/token/revoke-self"),
    ]  # fmt: skip


def test_a_proxy_never_sees_the_token(tls_vault: tuple[VaultServer, dict[str, str]], tmp_path: Path) -> None:
    """It opens a tunnel, and everything in it is Vault's TLS."""
    vault, files = tls_vault
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[bytes] = []
        threading.Thread(target=tunnels, args=(listener, seen), daemon=True).start()
        options = {
            "address": vault.address, "ca": files["ca.pem"], "auth": approle(vault, tmp_path, "loader"),
            "proxy": f"http://127.0.0.1:{listener.getsockname()[1]}",
        }  # fmt: skip
        store = VaultStore(parse_options(options, tmp_path), tmp_path)
        assert store.read(SecretRef("secret/veilflow", "key")).secret.reveal() == VALUE
        token = store._client.token
        store.close()
    assert token is not None and seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert not any(secret.encode() in part for part in seen for secret in (token.reveal(), VALUE))


def tunnels(listener: socket.socket, seen: list[bytes]) -> None:
    """A proxy for CONNECT, one connection at a time, that keeps what passes through it."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            head = client.recv(4096)
            seen.append(head)
            host, _, port = head.split()[1].decode().partition(":")
            with client, socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
                pump(client, server, seen)


def pump(client: socket.socket, server: socket.socket, seen: list[bytes]) -> None:
    while True:
        ready, _, _ = select.select([client, server], [], [], 10)
        for one in ready:
            part = one.recv(65536)
            if not part:
                return
            seen.append(part)
            (server if one is client else client).sendall(part)
        if not ready:
            return


Certified = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certified(name: str, authority: Certified | None) -> Certified:
    """A certificate for a name, by an authority or as one."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(authority[0].subject if authority else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )  # fmt: skip
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    builder = builder.add_extension(
        x509.KeyUsage(
            digital_signature=True, key_cert_sign=authority is None, crl_sign=authority is None, **usage
        ),
        critical=True,
    )  # fmt: skip
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if authority is not None:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority[1].public_key())
        builder = builder.add_extension(issuer, critical=False)
    if name == "127.0.0.1":
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
        builder = builder.add_extension(names, critical=False)
    elif authority is not None:
        client = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(client, critical=False)
    return builder.sign(authority[1] if authority else key, hashes.SHA256()), key


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip


def test_a_wrapped_secret_id_works_once_and_only_as_it_was_wrapped(
    open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """One that was opened, or that somebody wrapped again by other means, is refused as a theft would be."""
    auth = by_a_wrapped_secret_id(vault, tmp_path)
    vault.write("secret/data/app", data={"key": VALUE})
    assert open_vault(auth).read(SecretRef("secret/app", "key")).secret.reveal() == VALUE
    error = refused("VEIL406", lambda: open_vault(auth).read(SecretRef("secret/app", "key")))
    assert "stolen" in error.hint
    _, secret_id = vault.approle("writer")
    again = vault.ask("POST", "sys/wrapping/wrap", {"secret_id": secret_id}, wrap="60s")["wrap_info"]["token"]
    private(tmp_path / "wrapped", again)
    refused("VEIL406", lambda: open_vault(auth).read(SecretRef("secret/app", "key")), secret_id)


def test_a_given_token_outlives_the_store(open_vault: Open, vault: VaultServer, tmp_path: Path) -> None:
    """It is somebody else's: neither revoked nor shortened."""
    vault.write("secret/data/app", data={"key": VALUE})
    auth = by_token(vault, tmp_path)
    store = open_vault(auth)
    store.read(SecretRef("secret/app", "key"))
    store.close()
    token = Path(auth["token"]["file"]).read_text()
    assert vault.ask("GET", "auth/token/lookup-self", token=token)["data"]["ttl"] > 500


def test_nothing_is_taken_from_the_environment(
    open_vault: Open, vault: VaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell's address, token, certificates and proxy lead a run nowhere."""
    vault.write("secret/data/app", data={"key": VALUE})
    monkeypatch.setenv("HOME", str(tmp_path))
    private(tmp_path / ".vault-token", "hvs.somebody")
    for name, value in {
        "VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "hvs.nobody", "http_proxy": "http://127.0.0.1:1",
        "REQUESTS_CA_BUNDLE": "/nowhere", "VAULT_NAMESPACE": "other",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert open_vault().read(SecretRef("secret/app", "key")).secret.reveal() == VALUE
    monkeypatch.setenv("VEIL_TEST_TOKEN", vault.token)
    named = open_vault({"token": {"env": "VEIL_TEST_TOKEN"}})
    assert named.read(SecretRef("secret/app", "key")).secret.reveal() == VALUE


def test_a_redirect_never_carries_the_token_to_another_host(open_vault: Open, tmp_path: Path) -> None:
    """What answers with one is refused, and the other host hears nothing."""
    heard: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    class Standby(Elsewhere):
        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{elsewhere.server_port}{self.path}")
            self.end_headers()

    elsewhere, standby = (ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Elsewhere, Standby))
    for server in (elsewhere, standby):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    auth = {"token": {"file": private(tmp_path / "token", "hvs.token-marker")}}
    store = open_vault(auth, f"http://127.0.0.1:{standby.server_port}")
    error = refused("VEIL404", lambda: store.read(SecretRef("secret/app", "key")), "token-marker")
    assert f"redirects to 127.0.0.1:{elsewhere.server_port}" in error.problem
    assert heard == []
    for server in (elsewhere, standby):
        server.shutdown()
        server.server_close()


# --- what may be wrong -------------------------------------------------------------------


BAD_SECRETS: dict[str, tuple[str, SecretRef, str]] = {
    "no such path": ("VEIL221", SecretRef("secret/nowhere", "key"), "no secret secret/nowhere"),
    "no such field": ("VEIL221", SecretRef("secret/bad", "nothing"), "no field nothing"),
    "no such version": ("VEIL221", SecretRef("secret/bad", "text", version=99), "in version 99"),
    "a deleted version": ("VEIL221", SecretRef("secret/gone", "text"), "of secret/gone is deleted"),
    "the other engine": ("VEIL221", SecretRef("secret/bad", "text", "kv1"), "not of the engine kv1"),
    "an unknown engine": ("VEIL220", SecretRef("secret/bad", "text", "kv3"), "no engine kv3"),
    "an empty value": ("VEIL222", SecretRef("secret/bad", "empty"), "is empty"),
    "a number": ("VEIL222", SecretRef("secret/bad", "number"), "is not text"),
    "a NUL": ("VEIL222", SecretRef("secret/bad", "nul"), "has a NUL"),
    "a version of kv 1": ("VEIL220", SecretRef("kv1/bad", "text", "kv1", 1), "has no versions"),
    "a malformed path": ("VEIL220", SecretRef("secret/../sys/seal", "text"), "malformed"),
    "a path with a line end": ("VEIL220", SecretRef("secret/bad\n", "text"), "malformed"),
    "a path without a mount": ("VEIL220", SecretRef("secret", "text"), "does not fit"),
    "no such role": ("VEIL406", SecretRef("database/creds/nobody", engine="database"), "denied read"),
}


@pytest.mark.parametrize("case", BAD_SECRETS)
def test_a_secret_that_cannot_be_read_says_why(case: str, open_vault: Open, vault: VaultServer) -> None:
    """By code and words, and never by a value."""
    code, ref, words = BAD_SECRETS[case]
    vault.write("secret/data/bad", data={"text": VALUE, "empty": "", "number": 5, "nul": f"{VALUE}\0"})
    vault.write("secret/data/gone", data={"text": VALUE})
    vault.ask("DELETE", "secret/data/gone")
    vault.write("sys/policies/acl/writer", policy=WRITER.replace('path "database/creds/*"', 'path "database/creds/x"'))
    error = refused(code, lambda: open_vault().read(ref), VALUE)
    assert words in error.problem


def test_a_denied_permission_names_the_line_that_the_policy_misses(
    open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """So that it can be copied."""
    store = open_vault(approle(vault, tmp_path, "loader"))
    error = refused("VEIL406", lambda: store.read(SecretRef("secret/other", "key")))
    assert 'path "secret/data/other" { capabilities = ["read"] }' in error.hint


def test_a_revoked_token_is_told_apart_from_a_missing_permission(open_vault: Open, vault: VaultServer) -> None:
    """And nobody logs in again behind the back of whoever revoked it."""
    vault.write("secret/data/app", data={"key": VALUE})
    store = open_vault()
    store.read(SecretRef("secret/app", "key"))
    token = store._client.token
    assert token is not None
    vault.ask("POST", "auth/token/revoke", {"token": token.reveal()})
    error = refused("VEIL406", lambda: store.read(SecretRef("secret/app", "key", version=1)))
    assert "expired or was revoked" in error.problem


@pytest.mark.parametrize("kind", ["batch token", "not renewable"])
def test_a_token_that_cannot_be_renewed_is_refused(
    kind: str, open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """It could die while the run lives."""
    if kind == "batch token":
        vault.write("auth/approle/role/batch", token_policies="writer", token_type="batch", token_ttl="20m")
        auth = approle(vault, tmp_path, "batch")
    else:
        made = vault.write("auth/token/create", policies=["writer"], ttl="10m", renewable=False)
        auth = {"token": {"file": private(tmp_path / "token", made["auth"]["client_token"])}}
    error = refused("VEIL406", lambda: open_vault(auth).read(SecretRef("secret/app", "key")))
    assert "cannot be renewed" in error.problem


BAD_LOGINS: dict[str, tuple[str, str, str]] = {
    "a wrong secret id": ("VEIL406", "00000000-0000-0000-0000-000000000000", "rejected the AppRole login"),
    "a line end inside": ("VEIL222", "secret-id\nmarker", "not one line of plain text"),
    "a NUL": ("VEIL222", "secret-id\0marker", "not one line of plain text"),
    "nothing": ("VEIL222", "", "empty"),
}


@pytest.mark.parametrize("case", BAD_LOGINS)
def test_a_credential_for_the_login_that_is_not_right_is_refused(
    case: str, open_vault: Open, vault: VaultServer, tmp_path: Path
) -> None:
    """It never reaches a header."""
    code, content, words = BAD_LOGINS[case]
    auth = approle(vault, tmp_path)
    private(tmp_path / "secret_id", content)
    error = refused(code, lambda: open_vault(auth).read(SecretRef("secret/app", "key")), "marker")
    assert words in error.problem


def test_what_is_not_vault_is_told_so(open_vault: Open, tmp_path: Path) -> None:
    """A proxy's page is not taken for an answer."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    page = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    auth = {"token": {"file": private(tmp_path / "token", "hvs.token-marker")}}
    store = open_vault(auth, f"http://127.0.0.1:{page.server_port}")
    assert "is not Vault" in refused("VEIL404", lambda: store.read(SecretRef("secret/app", "key"))).problem
    page.shutdown()
    page.server_close()


def test_the_rights_that_a_secret_needs_are_what_vault_grants(open_vault: Open, vault: VaultServer) -> None:
    """Worked out without asking, and held against `sys/capabilities-self`."""
    store = open_vault()
    rights = store.rights(SecretRef("secret/app", "key")) + store.rights(SecretRef("kv1/a", "b", "kv1"))
    assert [right.path for right in rights] == ["secret/data/app", "kv1/a"]
    granted = store.capabilities(tuple(right.path for right in rights))
    assert all(set(right.capabilities) <= set(granted[right.path]) for right in rights)


def test_no_frame_of_an_error_holds_a_token(open_vault: Open, vault: VaultServer, tmp_path: Path) -> None:
    """A tool that prints the variables of a traceback finds dots."""
    store = open_vault(approle(vault, tmp_path, "loader"))
    vault.write("secret/data/veilflow", data={"key": VALUE})
    store.read(SecretRef("secret/veilflow", "key"))
    token = store._client.token
    secret_id = (tmp_path / "secret_id").read_text()
    with pytest.raises(VeilError) as caught:
        store.read(SecretRef("secret/other", "key"))
    seen, error = [], caught.value
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            if (
                "veilflow/secret_stores" in trace.tb_frame.f_code.co_filename
                or "hvac" in trace.tb_frame.f_code.co_filename
            ):
                seen.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        error = error.__context__  # type: ignore[assignment]
    assert token is not None
    assert not any(secret in text for text in seen for secret in (token.reveal(), secret_id))


def test_every_request_goes_to_the_namespace(own_vault: VaultServer, postgresql: Any, tmp_path: Path) -> None:
    """Logging in, reading, issuing, renewing token and lease, and giving back; the proxy takes the header away for a
    server that knows no namespaces."""
    own_vault.write("secret/data/veilflow", data={"keyring": "a-value-of-some-length"})
    with psycopg.connect(postgresql.full_url, autocommit=True) as connection:
        connection.execute("do $$ begin if to_regrole('etl_owner') is null then create role etl_owner; end if; end $$")
    own_vault.set_up_database(postgresql.url, postgresql.password, ttl="2s", max_ttl="1h")
    own_vault.write("auth/approle/role/spaced", token_policies="veilflow", token_period="2s")
    role_id, secret_id = own_vault.approle("spaced")
    (tmp_path / "secret_id").write_text(secret_id)
    (tmp_path / "secret_id").chmod(0o600)
    with FaultProxy(own_vault.port, without=b"X-Vault-Namespace:") as proxy:
        options = {
            "kind": "vault", "address": proxy.address, "namespace": "team/etl",
            "auth": {"approle": {"role_id": role_id, "secret_id": {"file": "secret_id"}}},
        }  # fmt: skip
        store = VaultStore(parse_options(options, tmp_path), tmp_path)
        store.read(SecretRef("secret/veilflow", "keyring"))
        store.read(SecretRef("database/creds/loader", engine="database"))
        wanted = {b"auth/token/renew-self", b"sys/leases/renew"}
        end = time.monotonic() + 20
        while time.monotonic() < end and not wanted <= asked(proxy):
            time.sleep(0.05)
        store.read(SecretRef("database/creds/loader", engine="database"))
        store.close()
        paths = asked(proxy)
    assert paths >= wanted | {
        b"auth/approle/login",
        b"secret/data/veilflow",
        b"database/creds/loader",
        b"auth/token/revoke-self",
    }
    without = [head for head in proxy.heads if b"\r\nx-vault-namespace: team/etl" not in head.lower()]
    assert without == []


def asked(proxy: FaultProxy) -> set[bytes]:
    """The paths of the requests so far."""
    return {head.split(b" ", 2)[1].removeprefix(b"/v1/") for head in proxy.heads}
