"""The key ring, derivation of keys, and the keyed functions over columns.

Every primitive comes from ``cryptography`` or the standard library. The faster kernels are held against them before
their first use: HMAC (polars-hash) against ``hmac``, AES-SIV (its construction over whole columns) against ``AESSIV``.
FF1 has no such library; the tests hold it against published vectors and against one value at a time. To add a use of a key: name it in ``derivation.USES`` and derive it.
"""

from veilflow.keys import lifecycle
from veilflow.keys.age import age_identity
from veilflow.keys.alphabet import Alphabet, Spelling
from veilflow.keys.buffers import binary_array, contents, skip_nulls
from veilflow.keys.derivation import KEY_DOMAIN, USES, derive
from veilflow.keys.digest import digest
from veilflow.keys.distinct import once_per_value
from veilflow.keys.ff1 import FF1, MINIMUM_DOMAIN
from veilflow.keys.hmac_kernel import hmac_hex, hmac_words
from veilflow.keys.permutation import Permutation
from veilflow.keys.ring import KeyRing, KeyState, RootKey, random_root
from veilflow.keys.siv import open_sealed, seal
from veilflow.keys.value_bytes import token_bytes

__all__ = [
    "FF1",
    "KEY_DOMAIN",
    "MINIMUM_DOMAIN",
    "USES",
    "Alphabet",
    "KeyRing",
    "KeyState",
    "RootKey",
    "Permutation",
    "Spelling",
    "age_identity",
    "binary_array",
    "contents",
    "derive",
    "digest",
    "hmac_hex",
    "hmac_words",
    "lifecycle",
    "once_per_value",
    "open_sealed",
    "random_root",
    "seal",
    "skip_nulls",
    "token_bytes",
]
