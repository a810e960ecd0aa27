"""Plane polygons with holes into triangles by a sweep, where cutting off ears does not fill them or would take too long.

S. Hertel, K. Mehlhorn, Fast triangulation of simple polygons (1983). Polygons have tens of corners: plain numbers beat arrays here.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from workers.cad.shape import Floats

# triangles below this part of the polygon's box are none
_NOTHING = 1e-12
# the sweep is turned by an angle that hardly any corners share: of two on one level the later one may lie within what is done
_TURN = (math.cos(0.577), math.sin(0.577))
# for all holes: intervals that are looked at, and corners of chains that are cut and joined
_MOST_LOOKS = 1_000_000

Triangle = tuple[int, int, int]


@dataclass(slots=True)
class _Interval:
    """A piece of the sweep line inside the polygon. Below it all is done but what `chain` cuts off: corners from the left to the right
    edge, no two of which see more of each other than their neighbour.
    """

    left: int  # edges, by the corner they begin with
    right: int
    chain: deque[int]
    latest: int  # the corner met last: all of the interval sees it


class _Sweep:
    """From below to above. The inside lies to the left of each edge, so edges that run down are left ends of intervals."""

    def __init__(self, x: list[float], y: list[float], counts: list[int]) -> None:
        self.x, self.y = x, y
        self.before = [at - 1 for at in range(len(x))]
        self.following = [at + 1 for at in range(len(x))]
        first = 0
        for count in counts:
            self.before[first], self.following[first + count - 1] = first + count - 1, first
            first += count
        self.least = _NOTHING * (max(x) - min(x)) * (max(y) - min(y))
        self.found: list[Triangle] = []
        self.within: dict[int, _Interval] = {}  # the interval of each edge that is met
        self.looks = 0

    def triangles(self) -> list[Triangle]:
        """Raises ValueError where borders meet."""
        before, following = self.before, self.following
        order = sorted(range(len(before)), key=list(zip(self.y, self.x, strict=True)).__getitem__)
        rank = [0] * len(order)
        for place, at in enumerate(order):
            rank[at] = place
        for v in order:
            here, back, forth = rank[v], before[v], following[v]
            if rank[back] < here < rank[forth]:
                interval = self._ended(back)
                self._right(interval.chain, v)
                interval.right = v
                self.within[v] = interval
            elif rank[back] > here > rank[forth]:
                interval = self._ended(v)
                self._left(interval.chain, v)
                interval.left = back
                self.within[back] = interval
            else:
                convex = self._twice(back, v, forth) > 0
                if rank[back] > here:
                    interval = self._begun(v, back) if convex else self._split(v, back)
                else:
                    interval = self._closed(v, back) if convex else self._merged(v, back)
            interval.latest = v
        return self.found

    def _begun(self, v: int, back: int) -> _Interval:
        interval = self.within[v] = self.within[back] = _Interval(back, v, deque([v]), v)
        return interval

    def _split(self, v: int, back: int) -> _Interval:
        interval = self._around(v)
        chain = list(interval.chain)
        self._look(len(chain))
        at = chain.index(interval.latest)
        right = _Interval(back, interval.right, deque(chain[at:]), v)
        interval.chain, interval.right = deque(chain[: at + 1]), v
        self._right(interval.chain, v)
        self._left(right.chain, v)
        self.within[v] = interval
        self.within[back] = self.within[right.right] = right
        return interval

    def _closed(self, v: int, back: int) -> _Interval:
        interval = self._ended(back)
        if self._ended(v) is not interval:
            raise ValueError("borders that meet")
        chain = interval.chain
        self.found += [(v, one, two) for one, two in pairwise(chain)]
        return interval

    def _merged(self, v: int, back: int) -> _Interval:
        interval, right = self._ended(back), self._ended(v)
        if interval is right:
            raise ValueError("borders that meet")
        self._right(interval.chain, v)
        self._left(right.chain, v)
        self._look(len(right.chain))
        right.chain.popleft()
        interval.chain += right.chain
        interval.right = right.right
        self.within[interval.right] = interval
        return interval

    def _ended(self, edge: int) -> _Interval:
        interval = self.within.pop(edge, None)
        if interval is None:
            raise ValueError("borders that meet")
        return interval

    def _around(self, v: int) -> _Interval:
        self._look(len(self.within))
        for edge, interval in self.within.items():
            if edge == interval.left and self._inside(v, edge) and self._inside(v, interval.right):
                return interval
        raise ValueError("borders that meet")

    def _look(self, count: int) -> None:
        self.looks += count
        if self.looks > _MOST_LOOKS:
            raise ValueError("too many holes")

    def _inside(self, v: int, edge: int) -> bool:
        return self._twice(edge, self.following[edge], v) > 0

    def _right(self, chain: deque[int], v: int) -> None:
        x, y, least = self.x, self.y, self.least
        p, q = x[v], y[v]
        b = chain[-1]
        while len(chain) > 1:
            a = chain[-2]
            if (x[b] - x[a]) * (q - y[a]) - (p - x[a]) * (y[b] - y[a]) <= least:
                break
            self.found.append((a, b, v))
            chain.pop()
            b = a
        chain.append(v)

    def _left(self, chain: deque[int], v: int) -> None:
        x, y, least = self.x, self.y, self.least
        p, q = x[v], y[v]
        a = chain[0]
        while len(chain) > 1:
            b = chain[1]
            if (x[a] - p) * (y[b] - q) - (x[b] - p) * (y[a] - q) <= least:
                break
            self.found.append((v, a, b))
            chain.popleft()
            a = b
        chain.appendleft(v)

    def sound(self) -> bool:
        """Whether all triangles have an area, and all of them together that of the polygon."""
        x, y = self.x, self.y
        whole = sum(p * (y[after] - y[back]) for p, back, after in zip(x, self.before, self.following, strict=True))
        total = 0.0
        for a, b, c in self.found:
            part = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
            if part <= self.least:
                return False
            total += part
        return abs(total - whole) <= 1e-9 * whole

    def _twice(self, a: int, b: int, c: int) -> float:
        """Twice the area of a triangle."""
        x, y = self.x, self.y
        return (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])


def swept(x: Floats, y: Floats, counts: list[int]) -> list[Triangle] | None:
    """Triangles, counter-clockwise, over the corners (n,) of a polygon whose inside lies to the left of its borders, which have `counts`
    corners each. None where the borders meet each other or themselves.
    """
    c, d = _TURN
    sweep = _Sweep((c * x - d * y).tolist(), (d * x + c * y).tolist(), counts)
    try:
        found = sweep.triangles()
    except ValueError:
        return None
    return found if sweep.sound() else None
