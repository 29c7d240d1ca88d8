"""What a policy's rules mean. Pure: names and values in, decisions, comparisons and findings out; closed by default.

``choose`` says which rule decides a column, ``compare`` which of two decisions is the stricter, ``lint`` what is weak in
a decided policy. To add a way of matching: a ``Kind``, its place in ``_ORDER``, and its line in ``choose``; to add a
finding: an entry in ``FINDINGS`` and a function in ``lint.RULES``.
"""

from veilflow.policies.choose import Choice, Kind, Match, Rules, Unlisted, choose
from veilflow.policies.strictness import Comparison, Decided, Treated, compare

__all__ = [
    "Choice",
    "Comparison",
    "Decided",
    "Kind",
    "Match",
    "Rules",
    "Treated",
    "Unlisted",
    "choose",
    "compare",
]
