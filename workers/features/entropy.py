"""How evenly the kinds of elements are mixed."""

from __future__ import annotations

import math
from collections.abc import Mapping


def shape_entropy(frequencies: Mapping[str, int]) -> float:
    """Shannon entropy of type frequencies with add-one smoothing, divided by its maximum: 0.0 .. 1.0, no unit.

    With N elements of K types that occur, p_i = (f_i + 1) / (N + K) and the result is -sum(p_i ln p_i) / ln K.
    An empty document or a single type has entropy 0.0; equal frequencies have 1.0. Types of frequency 0 do not count.
    Raises ValueError for a negative frequency.

    Source: C. E. Shannon, A Mathematical Theory of Communication (1948); smoothing after Laplace's rule of succession.
    """
    # sorted, so that the order of the mapping cannot change the last bit
    counts = sorted(filter(None, frequencies.values()))
    if counts and counts[0] < 0:
        raise ValueError("a frequency is negative")
    kinds, total = len(counts), sum(counts)
    if kinds < 2:
        return 0.0
    entropy = 0.0
    for count in counts:
        p = (count + 1) / (total + kinds)
        entropy -= p * math.log(p)
    return min(max(entropy / math.log(kinds), 0.0), 1.0)
