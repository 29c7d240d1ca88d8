"""The key ring, derivation of keys, and the keyed functions over columns.

Every primitive comes from ``cryptography`` or the standard library; the one faster kernel (polars-hash) is held
against ``hmac`` before its first use. To add a use of a key: name it in ``derivation.USES`` and derive it.
"""

from veilflow.keys.age import age_identity
from veilflow.keys.derivation import KEY_DOMAIN, USES, derive
from veilflow.keys.digest import digest
from veilflow.keys.hmac_kernel import hmac_hex
from veilflow.keys.ring import KeyRing
from veilflow.keys.value_bytes import token_bytes

__all__ = ["KEY_DOMAIN", "USES", "KeyRing", "age_identity", "derive", "digest", "hmac_hex", "token_bytes"]
