"""One key per use, key domain and version, by HKDF-SHA-256 (RFC 5869)."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: What a derived key is for.
USES = ("token", "siv", "ff1", "permute", "shift", "noise", "fake", "quarantine", "fingerprint")

#: Bytes of a derived key where they are not 32: AES-SIV takes two AES-256 keys.
KEY_BYTES = {"siv": 64}

KEY_DOMAIN = re.compile(r"[a-z0-9_.-]{1,64}")


def derive(root: bytes, use: str, key_domain: str, version: int, length: int | None = None) -> bytes:
    """``length`` bytes (by default those that the use takes: 32, 64 for siv) of HKDF-SHA-256 with an empty salt and
    info = ``"veilflow/1" 0x00 use 0x00 key_domain 0x00 decimal version``. ValueError for an unknown use or domain."""
    if use not in USES or not KEY_DOMAIN.fullmatch(key_domain):
        raise ValueError("unknown use, or a key domain that is not [a-z0-9_.-]{1,64}")
    info = b"\0".join([b"veilflow/1", use.encode(), key_domain.encode(), str(version).encode()])
    return HKDF(algorithm=SHA256(), length=length or KEY_BYTES.get(use, 32), salt=b"", info=info).derive(root)
