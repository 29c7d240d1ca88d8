"""Published vectors: NIST's samples of FF1, and Wycheproof's of FF1, AES-SIV, HMAC and HKDF, valid and invalid.

Their origin and licence stand beside them in tests/data/crypto.
"""

from __future__ import annotations

import hmac
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veilflow.keys import FF1, Alphabet, hmac_hex, open_sealed, seal
from veilflow.keys.ff1_exact import ff1_exact
from veilflow.keys.hmac_kernel import text_hmac_hex

CRYPTO = Path(__file__).parents[1] / "data/crypto"
#: Wycheproof counts values below a million as valid where SP 800-38G did before its revision.
OLD_MINIMUM = 100


def wycheproof(name: str) -> list[dict[str, Any]]:
    """Every test of a file, with what its group says of it."""
    groups = json.loads((CRYPTO / "wycheproof" / f"{name}_test.json").read_text(encoding="utf-8"))["testGroups"]
    return [{**group, **test} for group in groups for test in group["tests"]]


def numerals(test: dict[str, Any], form: str) -> list[int]:
    """The message or ciphertext as numerals, whether the file has text or lists."""
    if isinstance(test[form], list):
        return list(test[form])
    return [test["alphabet"].index(character) for character in test[form]]


FF1_FILES = ["aes_ff1_radix10", "aes_ff1_base10", "aes_ff1_base36", "aes_ff1_base62"]


@pytest.mark.parametrize("name", FF1_FILES)
def test_ff1_gives_wycheproofs_valid_answers_both_ways(name: str) -> None:
    """As columns: vectors of one key and length together, each row with its own tweak."""
    columns = defaultdict(list)
    for test in wycheproof(name):
        if test["result"] == "valid":
            columns[test["key"], test["radix"], len(test["msg"])].append(test)
    assert sum(map(len, columns.values())) > 2_000
    for (key, radix, _length), tests in columns.items():
        cipher = FF1(bytes.fromhex(key), radix, OLD_MINIMUM)
        tweaks = pa.array([bytes.fromhex(test["tweak"]) for test in tests], pa.binary())
        plain, secret = (np.array([numerals(test, form) for test in tests], np.uint8) for form in ("msg", "ct"))
        assert cipher.encrypt(plain, tweaks).tolist() == secret.tolist()
        assert cipher.decrypt(secret, tweaks).tolist() == plain.tolist()


@pytest.mark.parametrize("name", FF1_FILES[1:])
def test_ff1_of_one_value_gives_wycheproofs_valid_answers_both_ways(name: str) -> None:
    """The exact path, which long values take, and which the column's kernel is measured by."""
    for test in wycheproof(name):
        if test["result"] == "valid":
            key, tweak = bytes.fromhex(test["key"]), bytes.fromhex(test["tweak"])
            plain, secret = numerals(test, "msg"), numerals(test, "ct")
            assert ff1_exact(key, test["radix"], plain, tweak, inverse=False) == secret
            assert ff1_exact(key, test["radix"], secret, tweak, inverse=True) == plain


@pytest.mark.parametrize("name", FF1_FILES)
@pytest.mark.parametrize("minimum", [OLD_MINIMUM, 1_000_000])
def test_ff1_refuses_wycheproofs_invalid_input_both_ways(name: str, minimum: int) -> None:
    """Keys of a wrong size, values too short, and characters outside the alphabet."""
    for test in wycheproof(name):
        too_small = test["radix"] ** len(test["msg"]) < minimum
        if test["result"] == "invalid" or too_small:
            for form, way in (("msg", "encrypt"), ("ct", "decrypt")):
                if form == "ct" and test["flags"] == ["InvalidPlaintext"] and not too_small:
                    continue  # the ciphertext beside a bad plaintext is a well-formed one
                with pytest.raises(ValueError):
                    values = read(test, form)
                    getattr(FF1(bytes.fromhex(test["key"]), test["radix"], minimum), way)(values)


def read(test: dict[str, Any], form: str) -> Any:
    """One row of numerals, by the alphabet where the file has text."""
    if isinstance(test[form], str):
        text = pa.array([test[form]])
        return np.frombuffer(Alphabet(test["alphabet"]).numerals(text)[0].as_py(), np.uint8).reshape(1, -1)
    return np.array([test[form]], np.int64).reshape(1, -1)


def test_ff1_gives_nists_nine_samples_both_ways() -> None:
    """AES-128, 192 and 256, radix 10 and 36, with and without a tweak."""
    samples = json.loads((CRYPTO / "nist-ff1/nist_sp800-38g_ff1_samples.json").read_text())["tests"]
    assert len(samples) == 9
    for sample in samples:
        alphabet, cipher = Alphabet(sample["alphabet"]), FF1(bytes.fromhex(sample["key"]), sample["radix"])
        tweak = bytes.fromhex(sample["tweak"])
        secret = cipher.column(alphabet.numerals(pa.array([sample["pt"]])), tweak)
        assert alphabet.text(secret).to_pylist() == [sample["ct"]]
        back = cipher.column(alphabet.numerals(pa.array([sample["ct"]])), tweak, inverse=True)
        assert alphabet.text(back).to_pylist() == [sample["pt"]]


def test_aes_siv_gives_wycheproofs_answers_and_refuses_the_forged() -> None:
    """442 vectors with keys of 256, 384 and 512 bits."""
    tests = wycheproof("aes_siv_cmac")
    assert len(tests) == 442
    for test in tests:
        key, associated, plain, secret = (bytes.fromhex(test[part]) for part in ("key", "aad", "msg", "ct"))
        if test["result"] == "valid":
            assert seal(pa.array([plain], pa.binary()), key, [associated])[0].as_py() == secret
            assert open_sealed(pa.array([secret], pa.binary()), key, [associated])[0].as_py() == plain
        else:
            with pytest.raises(ValueError, match="not sealed under this key"):
                open_sealed(pa.array([secret], pa.binary()), key, [associated])


def test_hmac_gives_wycheproofs_tags() -> None:
    """The standard library on all of them, and the column's kernel on those whose key and message are text."""
    through_the_kernel = 0
    for test in wycheproof("hmac_sha256"):
        key, message, tag = (bytes.fromhex(test[part]) for part in ("key", "msg", "tag"))
        size = test["tagSize"] // 8
        found = {hmac.digest(key, message, "sha256")[:size]}
        if all(byte < 128 for byte in key + message):
            through_the_kernel += 1
            found.add(bytes.fromhex(text_hmac_hex(pa.array([message.decode()]), key.decode())[0].as_py())[:size])
        assert len(found) == 1 and (found == {tag}) == (test["result"] == "valid")
    assert through_the_kernel or hmac_hex(pa.array(["x"]), bytes(32))


def test_hkdf_gives_wycheproofs_keys() -> None:
    """The primitive under the derivation of keys; a length beyond its limit is refused."""
    for test in wycheproof("hkdf_sha256"):
        root, salt, info = (bytes.fromhex(test[part]) for part in ("ikm", "salt", "info"))
        if test["result"] == "valid":
            made = HKDF(algorithm=SHA256(), length=test["size"], salt=salt, info=info).derive(root)
            assert made == bytes.fromhex(test["okm"])
        else:
            with pytest.raises(ValueError):
                HKDF(algorithm=SHA256(), length=test["size"], salt=salt, info=info).derive(root)
