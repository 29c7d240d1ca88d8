"""Check digits of cards, accounts and national identity numbers, over many numbers of one length at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

#: One number a row, one digit a column.
Digits = np.ndarray[Any, np.dtype[np.int64]]
Found = np.ndarray[Any, np.dtype[np.bool_]]


def luhn(digits: Digits) -> Found:
    """ISO/IEC 7812-1, annex B. Zeros alone are no number."""
    doubled = digits[:, -2::-2] * 2
    total = digits[:, ::-2].sum(axis=1) + (doubled - 9 * (doubled > 9)).sum(axis=1)
    return np.asarray((total % 10 == 0) & digits.any(axis=1), dtype=bool)


def _weighted(digits: Digits, weights: str | list[int]) -> Digits:
    return np.asarray(digits[:, : len(weights)] @ np.array([int(one) for one in weights]), np.int64)


def _number(digits: Digits, start: int, end: int) -> Digits:
    return np.asarray(digits[:, start:end] @ (10 ** np.arange(end - start - 1, -1, -1)), np.int64)


def _bsn(d: Digits) -> Found:
    """Netherlands, burgerservicenummer: the test of eleven."""
    return np.asarray(((_weighted(d, "98765432") - d[:, 8]) % 11 == 0) & (_number(d, 0, 9) > 9999999), bool)


def _sin(d: Digits) -> Found:
    """Canada, social insurance number."""
    return np.asarray(luhn(d) & ~np.isin(d[:, 0], (0, 8)), bool)


def _nhs(d: Digits) -> Found:
    """United Kingdom, NHS number: modulus 11."""
    return np.asarray((11 - _weighted(d, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11 == d[:, 9], bool)


def _pesel(d: Digits) -> Found:
    """Poland, PESEL."""
    return np.asarray(((_weighted(d, "1379137913") + d[:, 10]) % 10 == 0) & d.any(axis=1), bool)


def _cpf(d: Digits) -> Found:
    """Brazil, cadastro de pessoas fisicas: two digits modulo 11."""
    first = _weighted(d, list(range(10, 1, -1))) * 10 % 11 % 10 == d[:, 9]
    second = _weighted(d, list(range(11, 1, -1))) * 10 % 11 % 10 == d[:, 10]
    return np.asarray(first & second & (d != d[:, :1]).any(axis=1), bool)


def _idnr(d: Digits) -> Found:
    """Germany, Steuer-Identifikationsnummer: ISO 7064 MOD 11,10."""
    product = np.full(len(d), 10)
    for place in range(10):
        total = (d[:, place] + product) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    return np.asarray(((11 - product) % 10 == d[:, 10]) & (d[:, 0] != 0), bool)


def _fodselsnummer(d: Digits) -> Found:
    """Norway, fødselsnummer: two digits modulo 11."""
    first = (_weighted(d, "376189452") + d[:, 9]) % 11 == 0
    second = (_weighted(d, "5432765432") + d[:, 10]) % 11 == 0
    return np.asarray(first & second & d.any(axis=1), bool)


def _national_number(d: Digits) -> Found:
    """Belgium, national number: 97 less the rest modulo 97, with a 2 in front for those born since 2000."""
    body, check = _number(d, 0, 9), _number(d, 9, 11)
    return np.asarray(((97 - body % 97) == check) | ((97 - (2 * 10**9 + body) % 97) == check), bool)


def _personnummer(d: Digits) -> Found:
    """Sweden, personnummer: Luhn over the last ten, and a month and a day."""
    d = d[:, -10:]
    month, day = _number(d, 2, 4), _number(d, 4, 6) % 60
    return np.asarray(luhn(d) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31), bool)


_VERHOEFF = np.array(
    [[(a + b) % 5 if a < 5 and b < 5 else (a + b) % 5 + 5 if a < 5 else (a - b) % 5 + 5 if b < 5 else (a - b) % 5 for b in range(10)]
     for a in range(10)]
)  # fmt: skip
_TURN = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
for _ in range(6):
    _TURN.append([_TURN[1][one] for one in _TURN[-1]])


def _aadhaar(d: Digits) -> Found:
    """India, Aadhaar: Verhoeff's dihedral check; it begins with 2 to 9."""
    check = np.zeros(len(d), np.int64)
    for place in range(12):
        check = _VERHOEFF[check, np.array(_TURN[place % 8])[d[:, 11 - place]]]
    return np.asarray((check == 0) & (d[:, 0] > 1), bool)


def _my_number(d: Digits) -> Found:
    """Japan, individual number: modulus 11."""
    rest = _weighted(d, "65432765432") % 11
    return np.asarray(np.where(rest <= 1, 0, 11 - rest) == d[:, 11], bool)


def _rrn(d: Digits) -> Found:
    """South Korea, resident registration number."""
    month, day = _number(d, 2, 4), _number(d, 4, 6)
    date = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return np.asarray(date & ((11 - _weighted(d, "234567892345") % 11) % 10 == d[:, 12]), bool)


def _ahv(d: Digits) -> Found:
    """Switzerland, AHV number: EAN-13 beginning with 756."""
    return np.asarray((_number(d, 0, 3) == 756) & ((_weighted(d, "1313131313131") % 10) == 0), bool)


def _nir(d: Digits) -> Found:
    """France, numéro d'inscription au répertoire: 97 less the rest modulo 97."""
    return np.asarray((97 - _number(d, 0, 13) % 97 == _number(d, 13, 15)) & np.isin(d[:, 0], (1, 2, 3, 4, 7, 8)), bool)


def _ric(d: Digits) -> Found:
    """China, resident identity card: GB 11643 (ISO 7064 MOD 11-2); 10 stands for X."""
    weights = [2 ** (17 - place) % 11 for place in range(17)]
    return np.asarray((_weighted(d, weights) + d[:, 17]) % 11 == 1, bool)


#: Numbers of digits alone (China's may end in X), by their length.
_BY_LENGTH: dict[int, tuple[Callable[[Digits], Found], ...]] = {
    9: (_bsn, _sin),
    10: (_nhs, _personnummer),
    11: (_pesel, _cpf, _idnr, _fodselsnummer, _national_number),
    12: (_aadhaar, _my_number, _personnummer),
    13: (luhn, _rrn, _ahv),  # South Africa's is Luhn's
    15: (_nir,),
    18: (_ric,),
}


def national_numbers(digits: Digits) -> Found:
    """Which numbers of digits have the check digits of a national identity number of their length."""
    found = np.zeros(len(digits), bool)
    for check in _BY_LENGTH.get(digits.shape[1], ()):
        found |= check(digits)
    return found


# --- accounts ----------------------------------------------------------------------------

#: Length of an IBAN by country: the SWIFT registry, release 99 (2024).
_IBAN = """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25
MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27
SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"""
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN.split()}


def is_iban(compact: str) -> bool:
    """ISO 13616: the length of its country, and ISO 7064 MOD 97-10."""
    if IBAN_LENGTHS.get(compact[:2]) != len(compact) or not compact.isalnum() or not compact.isascii():
        return False
    return int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1


# --- national numbers with letters -------------------------------------------------------

_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18,
            20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))  # fmt: skip


def _is_dni(number: str) -> bool:
    """Spain, DNI and NIE: the letter of the number modulo 23."""
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


def _is_codice_fiscale(number: str) -> bool:
    """Italy, codice fiscale: decree of 23 December 1976."""
    even = sum(int(one) if one.isdigit() else ord(one) - 65 for one in number[1:15:2])
    return chr((sum(_ODD[one] for one in number[:15:2]) + even) % 26 + 65) == number[15]


def _is_hetu(number: str) -> bool:
    """Finland, henkilötunnus: the remainder modulo 31."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number[:6] + number[7:10]) % 31] == number[10]


def _is_corsican(number: str) -> bool:
    """France, NIR of those born in Corsica: 2A counts as 19 and 2B as 18."""
    digits = number.replace("2A", "19", 1) if "2A" in number else number.replace("2B", "18", 1)
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


#: Their shapes and checks. The United Kingdom's national insurance number has a shape alone.
LETTERED: tuple[tuple[str, Callable[[str], bool] | None], ...] = (
    (r"\b[0-9]{8}[- ]?[A-Z]\b", _is_dni),
    (r"\b[XYZ][- ]?[0-9]{7}[- ]?[A-Z]\b", _is_dni),
    (r"\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b", _is_codice_fiscale),
    (r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]\b", _is_hetu),
    (r"\b[12] ?[0-9]{2} ?[0-9]{2} ?2[AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b", _is_corsican),
    (r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b", None),
)  # fmt: skip
#: The same, less sharp, for an engine that finds the rows: without bounds, by capital or small letters alone.
SHAPES = (
    r"[0-9]{7}[- ]?[A-Za-z](?:[^A-Za-z]|$)", r"[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z]",
    r"[0-9]{6}[-+A-FU-Ya-fu-y][0-9]{3}[0-9A-Ya-y]", r"2[ABab] ?[0-9]{3} ?[0-9]{3}", r"[A-Za-z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]",
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.ASCII | re.IGNORECASE), check) for pattern, check in LETTERED)


def lettered_spans(text: str) -> list[tuple[int, int]]:
    """Where numbers with letters stand in a text whose check letter is right."""
    spans = []
    for pattern, check in _COMPILED:
        for match in pattern.finditer(text):
            compact = match[0].upper() if pattern is _COMPILED[3][0] else re.sub("[- ]", "", match[0].upper())
            if check is None or check(compact):
                spans.append(match.span())
    return spans
