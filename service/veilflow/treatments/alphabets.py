"""Alphabets that policies name, and how a parameter is checked for one."""

from __future__ import annotations

from functools import cache

from veilflow.keys import Alphabet

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Names in a policy; any other text is an alphabet of its own, character by character.
NAMED = {"digits": _DIGITS, "letters": _LETTERS, "alphanumeric": _DIGITS + _LETTERS}


def characters_of(name: object) -> str:
    """The characters of a named alphabet, or of one that is written out. ValueError if it is none."""
    if not isinstance(name, str):
        raise ValueError("alphabet must be digits, letters, alphanumeric or the characters themselves")
    characters = NAMED.get(name, name)
    if not 2 <= len(characters) <= 65536 or len(set(characters)) != len(characters):
        raise ValueError("an alphabet has 2 to 65536 characters, each once; or it is digits, letters or alphanumeric")
    return characters


@cache
def alphabet_of(characters: str, separators: str = "") -> Alphabet:
    """The tables of an alphabet, made once."""
    return Alphabet(characters, separators)
