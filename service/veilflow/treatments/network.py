"""IP addresses to their network, URLs to their host."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from veilflow.treatments.interface import TEXT_ONLY, Context, NoParameters, Traits, Treatment, text_type, whole
from veilflow.treatments.mask import mask_text
from veilflow.treatments.text_bytes import by_script, bytes_of, per_distinct

_ANY = "0.0.0.0"  # noqa: S104 - an address in data, nothing is bound to it
_OCTETS = pa.array([str(number) for number in range(256)])
_V4 = r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$"
# A backslash ends the host, as browsers have it. Without classes of Unicode RE2 is four times as fast.
_HOST = (
    r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#\\]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[%s_.~%%-]+)(?::[0-9]*)?(?:[/?#\\]|$)"
)
_ASCII_HOST, _ANY_HOST = _HOST % "A-Za-z0-9", _HOST % r"\p{L}\p{M}\p{N}"


@dataclass(frozen=True, slots=True)
class MaskIp:
    """``v4`` and ``v6`` leading bits stay (at most 24 and 64), the others become 0."""

    v4: int = 24
    v6: int = 48

    def __post_init__(self) -> None:
        whole("v4", self.v4, 0, 24)
        whole("v6", self.v6, 0, 64)


def _mask_ip(values: pa.Array, parameters: MaskIp, _context: Context) -> pa.Array:
    values = values.cast(pa.string())
    is_v4 = pc.fill_null(pc.match_substring_regex(values, _V4), False)
    fours = pc.if_else(is_v4, values, _ANY)
    masked = _networks(fours, parameters.v4)
    if pc.sum(is_v4).as_py() == len(values) - values.null_count:
        return pc.if_else(is_v4, masked, pa.scalar(None, pa.string()))
    others = pc.if_else(is_v4, pa.scalar(None, pa.string()), values)
    others = per_distinct(others, lambda texts: [_other_network(one, parameters) for one in texts], pa.string())
    hidden = pc.if_else(pc.is_valid(others), others, mask_text(values, 0, 0, "*"))
    return pc.if_else(is_v4, masked, hidden)


def _networks(addresses: pa.Array, bits: int) -> pa.Array:
    """Dotted quads, all of them well-formed, with the bits after ``bits`` set to 0."""
    offsets, data = bytes_of(addresses)
    dots = np.flatnonzero(data == ord(".")).reshape(-1, 3)
    ends = np.concatenate([dots, offsets[1:, None]], axis=1)
    starts = np.concatenate([offsets[:-1, None], dots + 1], axis=1)
    parts = []
    for place in range(4):
        keep = min(max(bits - 8 * place, 0), 8)
        if not keep:
            parts.append(pa.scalar("0"))
            continue
        number = _numbers(data, starts[:, place], ends[:, place]) & (0xFF << (8 - keep) & 0xFF)
        parts.append(_OCTETS.take(pa.array(number)))
    if not bits:
        return pa.repeat(_ANY, len(addresses))
    return pc.binary_join_element_wise(*parts, ".")


def _numbers(data: Any, start: Any, end: Any) -> Any:
    """Decimal numbers of one to three digits that stand from ``start`` to ``end``."""
    digits = data.astype(np.int32) - 48
    number = digits[end - 1]
    number = number + np.where(end - start > 1, 10 * digits[np.maximum(end - 2, 0)], 0)
    return number + np.where(end - start > 2, 100 * digits[np.maximum(end - 3, 0)], 0)


def _other_network(text: str | None, parameters: MaskIp) -> str | None:
    """The network of an IPv6 address; of one that holds an IPv4 address, of that. None for what is no address."""
    try:
        address = ipaddress.IPv6Address(text or "")
    except ValueError:
        return None
    if address.ipv4_mapped is not None:
        network = ipaddress.IPv4Network((int(address.ipv4_mapped), parameters.v4), strict=False)
        return f"::ffff:{network.network_address}"
    return str(ipaddress.IPv6Network((int(address), parameters.v6), strict=False).network_address)


def _url_host(values: pa.Array, _parameters: NoParameters, _context: Context) -> pa.Array:
    return by_script(values, lambda rows: _host(rows, _ASCII_HOST), lambda rows: _host(rows, _ANY_HOST))


def _host(values: pa.Array, pattern: str) -> pa.Array:
    host = pc.struct_field(pc.extract_regex(values, pattern), "host")
    return pc.if_else(pc.is_valid(host), pc.utf8_lower(host), mask_text(values, 0, 0, "*"))


MASK_IP = Treatment(
    "mask_ip",
    "An IPv4 or IPv6 address to the address of its network; what is no address is masked whole.",
    MaskIp,
    TEXT_ONLY,
    text_type,
    _mask_ip,
    Traits("an IP address"),
)
URL_HOST = Treatment(
    "url_host",
    "Keeps a URL's host; user, port, path, query and fragment go. What is no URL is masked whole.",
    NoParameters,
    TEXT_ONLY,
    text_type,
    _url_host,
    Traits("a host name or an IP address"),
)
