"""A certificate authority of the tests' own, and certificates of it."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates; its own lies in ``ca.pem`` of ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("tests")
        self.file = _write(directory / "ca.pem", self._signed(self._name, self._key, ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for a host's address or a user, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _write(self.directory / f"{name}.pem", self._signed(_name(name), key, ca=False))
        form = serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return certificate, _write(self.directory / f"{name}.key", pem)

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
        )  # fmt: skip
        host = subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        if str(host)[0].isdigit():
            alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(str(host)))])
            builder = builder.add_extension(alternative, False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    file.chmod(0o600)
    return file
