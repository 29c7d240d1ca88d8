"""Masks for names: initials, and surnames as they are written in Chinese."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, NoParameters, Traits, Treatment, text_type
from veilflow.treatments.mask import mask_text
from veilflow.treatments.text_bytes import by_script, bytes_of, sums_before, text_of

_IS_LETTER = np.array([byte < 128 and chr(byte).isalpha() for byte in range(256)])
_IS_GAP = np.array([chr(byte) in " -" for byte in range(256)])
_APOSTROPHE, _DOT = ord("'"), ord(".")
#: Surnames of two characters that are still borne (Hundred Family Surnames; names of the Ministry of Public Security).
_COMPOUND = (
    "欧阳 上官 司马 诸葛 司徒 东方 独孤 南宫 夏侯 皇甫 尉迟 公孙 慕容 长孙 宇文 令狐 端木 轩辕 百里 呼延 东郭 南门 西门 公羊 公冶 "
    "太史 申屠 钟离 澹台 濮阳 淳于 单于 太叔 仲孙 闻人 赫连 宗政 司空 司寇 鲜于 闾丘 子车 颛孙 巫马 公西 漆雕 乐正 壤驷 公良 拓跋 "
    "夹谷 宰父 谷梁 段干 东门 羊舌 微生 梁丘 左丘 第五 完颜 纳兰 歐陽 司馬 諸葛 東方 獨孤 南宮 長孫 軒轅 鮮于 鍾離 申屠"
)
_COMPOUND_SURNAMES = pa.array(_COMPOUND.split())


def _mask_name(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return by_script(values, _ascii_initials, _any_initials)


def _ascii_initials(values: pa.Array) -> pa.Array:
    offsets, data = bytes_of(values)
    letter = _IS_LETTER[data]
    inside = letter | (data == _APOSTROPHE)  # O'Brien is one word
    first = letter.copy()
    first[1:] &= ~inside[:-1]
    starts = offsets[:-1][np.diff(offsets) > 0]
    first[starts] = letter[starts]
    kept = first * 2 + _IS_GAP[data]
    letters, initials, length = (np.diff(sums_before(one, offsets)) for one in (letter, first, kept))
    shows = letters >= 2 * np.maximum(initials, 1)
    kept *= np.repeat(shows, np.diff(offsets))
    out = np.repeat(data, kept)
    out[np.cumsum(kept)[first & (kept > 0)] - 1] = _DOT
    made = text_of(np.concatenate([[0], np.cumsum(np.where(shows, length, 0))]), out, values)
    return pc.if_else(pa.array(shows | (np.diff(offsets) == 0)), made, _stars(values))


def _stars(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(values), "*", pa.scalar(None, pa.string()))


def _any_initials(values: pa.Array) -> pa.Array:
    letters = pc.count_substring_regex(values, r"\p{L}")
    words = pc.count_substring_regex(values, r"\p{L}[\p{L}\p{M}'’]*")
    short = pc.replace_substring_regex(values, r"(\p{L})[\p{L}\p{M}'’]*", r"\1.")
    short = pc.replace_substring_regex(short, r"[^\p{L}. -]+", "")
    short = pc.replace_substring_regex(short, r"\.\.+", ".")
    shows = pc.greater_equal(letters, pc.max_element_wise(pc.multiply(words, 2), 2))
    return pc.if_else(shows, short, _stars(values))


def _mask_chinese_name(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    is_name = pc.match_substring_regex(values, r"^\p{Han}[\p{Han}·•]*\p{Han}$")
    compound = pc.and_(
        pc.is_in(pc.utf8_slice_codeunits(values, 0, 2), value_set=_COMPOUND_SURNAMES),
        pc.greater_equal(pc.utf8_length(values), 4),  # of three characters two would be more than half
    )
    masked = pc.if_else(compound, _after(values, 2), _after(values, 1))
    return pc.if_else(is_name, masked, mask_text(values, 0, 0, "*"))


def _after(values: pa.Array, keep: int) -> pa.Array:
    rest = pc.replace_substring_regex(pc.utf8_slice_codeunits(values, keep), "[^·•]", "*")
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(values, 0, keep), rest, "")


MASK_NAME = Treatment(
    "mask_name",
    "A name's initials: Ada Lovelace becomes A. L.; where they would be over half of the letters, one asterisk.",
    NoParameters,
    TEXT_ONLY,
    text_type,
    _mask_name,
    Traits("initials"),
)
MASK_CHINESE_NAME = Treatment(
    "mask_chinese_name",
    "Keeps the surname of a name in Chinese characters, never over half of the name; what is none is masked whole.",
    NoParameters,
    TEXT_ONLY,
    text_type,
    _mask_chinese_name,
    Traits("a Chinese name with asterisks"),
)
