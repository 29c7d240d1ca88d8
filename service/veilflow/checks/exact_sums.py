"""Sums of doubles that do not depend on the order of their parts."""

from __future__ import annotations


def add_exactly(parts: list[float], value: float) -> None:
    """Shewchuk's partial sums, as ``math.fsum`` keeps them (Adaptive Precision Floating-Point Arithmetic, 1997)."""
    at = 0
    for part in parts:
        if abs(value) < abs(part):
            value, part = part, value
        high = value + part
        low = part - (high - value)
        if low:
            parts[at] = low
            at += 1
        value = high
    parts[at:] = [value]
