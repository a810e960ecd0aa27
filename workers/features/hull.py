"""Convex hulls of points: in the plane by Andrew's monotone chain, in space by quickhull with many points at a time.

The spatial hull decides on an integer grid of 2^20 steps along the longest side, where the determinants of 64-bit integers are
exact: coplanar and collinear points, of which machine parts are full, cannot confuse it. Its volume is then taken from the
coordinates as they were given.
"""

from __future__ import annotations

import numpy as np

from workers.cad.shape import Arcs, Flags, Floats, Integers

_GRID = 1 << 19  # coordinates -2^19..2^19: differences fit 2^20, determinants 1.5 * 2^62
# few directions leave few points, and more directions then leave hardly any
_FILTER_DIRECTIONS = (8, 64)
# corners of the polygon that stands for a full circle, and for any arc: even a slight bow has an area
_TURN_CORNERS, _LEAST_CORNERS = 256, 64


def hull_2d(points: Floats, arcs: Arcs | None = None) -> Floats:
    """Corners (h, 2) of the hull of points (n, 2) and circular arcs, counter-clockwise; two for points on a line, one for a
    single place. An arc is taken for a polygon of 256 corners a turn, which falls short of its perimeter by 3 parts in 10^5.
    """
    if arcs is not None and len(arcs.radii):
        points = np.concatenate([points, _outer_arcs(points, arcs).points(_TURN_CORNERS, _LEAST_CORNERS)])
    corners = np.unique(_outer(points), axis=0)
    if len(corners) < 3:
        return corners
    lower = _chain(corners.tolist())
    upper = _chain(corners[::-1].tolist())
    return np.array(lower[:-1] + upper[:-1])


def polygon_area(corners: Floats) -> float:
    """Enclosed area of a polygon (h, 2) in square units; 0.0 below three corners (shoelace formula)."""
    if len(corners) < 3:
        return 0.0
    x, y = (corners - corners[0]).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def polygon_perimeter(corners: Floats) -> float:
    """Length around a polygon (h, 2); twice the distance for two corners, 0.0 for one."""
    return float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).sum()) if len(corners) > 1 else 0.0


def _outer_arcs(points: Floats, arcs: Arcs) -> Arcs:
    """Those of the arcs that can be on the hull, once each: what lies inside the polygon of the extremes of all cannot."""
    ring = _extremes(np.concatenate([points, arcs.points(4)]), 16)
    outer = arcs.some(np.flatnonzero(_beyond(arcs.centres, ring, arcs.radii)))
    every = np.column_stack([outer.centres, outer.radii, outer.starts, outer.sweeps])
    return outer.some(np.unique(every, axis=0, return_index=True)[1])


def _outer(points: Floats) -> Floats:
    """Without the points inside the polygons of extremes in some directions: most points, cheaply."""
    for count in _FILTER_DIRECTIONS:
        if len(points) >= 1000:
            ring = _extremes(points, count)
            points = np.concatenate([ring, points[_beyond(points, ring, 0.0)]])
    return points


def _extremes(points: Floats, directions: int) -> Floats:
    """The farthest of the points in evenly spaced directions, counter-clockwise."""
    angles = np.arange(directions) * (2 * np.pi / directions)
    x, y = np.ascontiguousarray(points.T)
    return points[[int(np.argmax(x * c + y * s)) for c, s in zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)]]


def _beyond(centres: Floats, ring: Floats, radii: Floats | float) -> Flags:
    """Which discs reach out of the convex polygon."""
    outside = np.zeros(len(centres), dtype=bool)
    x, y = np.ascontiguousarray(centres.T)
    for (tx, ty), (hx, hy) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        if tx != hx or ty != hy:
            outside |= (hx - tx) * (y - ty) - (hy - ty) * (x - tx) < radii * np.hypot(hx - tx, hy - ty)
    return outside


def _chain(points: list[list[float]]) -> list[list[float]]:
    hull: list[list[float]] = []
    for point in points:
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0:
                break
            hull.pop()
        hull.append(point)
    return hull


def hull_volume(points: Floats) -> float:
    """Volume of the hull of points (n, 3) in cubic units; 0.0 when they lie in a plane.

    Quickhull: C. B. Barber, D. P. Dobkin, H. Huhdanpaa, The Quickhull Algorithm for Convex Hulls (1996).
    """
    if len(points) < 4:
        return 0.0
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    if not extent > 0:
        return 0.0
    middle = (low + high) / 2
    grid = np.rint((points - middle) * (2 * _GRID / extent)).astype(np.int64)
    x, y, z = grid.T + _GRID
    _, where = np.unique((x << 42) | (y << 21) | z, return_index=True)
    grid = grid[where]
    start = _simplex(grid)
    if start is None:
        return 0.0
    facets = _Quickhull(grid, start).run()
    a, b, c = np.moveaxis(points[where][facets] - middle, 1, 0)
    return abs(float(np.einsum("ij,ij->i", np.cross(a, b), c).sum())) / 6


def _simplex(points: Integers) -> Integers | None:
    """Four points that span a volume: far apart, then far from their line, then far from their plane."""
    first = int(np.argmin(points[:, 0]))
    away = points - points[first]
    second = int(np.argmax((away * away).sum(axis=1)))
    across = np.cross(away, away[second]).astype(np.float64)
    third = int(np.argmax((across * across).sum(axis=1)))
    height = away @ np.cross(away[second], away[third])
    fourth = int(np.argmax(np.abs(height)))
    # three points on a line make the plane's normal, and with it all heights, zero
    if height[fourth] == 0:
        return None
    order = [first, second, third, fourth] if height[fourth] < 0 else [first, third, second, fourth]
    return np.array(order, dtype=np.int64)


class _Quickhull:
    """Facets with outward orientation and their neighbours; `across[f, i]` lies over the edge from corner i to i + 1.

    In each round every facet names the point highest above it. Points whose visible regions neither overlap nor touch cannot
    see each other's new facets, so all of them are added at once.
    """

    def __init__(self, points: Integers, simplex: Integers) -> None:
        self.points = points
        # the base looks away from the fourth corner
        self.facets: Integers = simplex[np.array([[0, 1, 2], [1, 0, 3], [2, 1, 3], [0, 2, 3]])]
        self.across: Integers = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]], dtype=np.int64)
        self.normals = self._normals(self.facets)
        self.alive: Flags = np.ones(4, dtype=bool)
        # points outside, the facet each is highest above, and by how much
        self.waiting: Integers = np.arange(len(points), dtype=np.int64)
        self.owner, self.height = self._highest(np.tile(self.waiting, 4), np.repeat(np.arange(4, dtype=np.int64), len(points)), len(points))
        self._drop_inside()

    def run(self) -> Integers:
        """Add points until none is outside; returns the facets (f, 3) as indices of points."""
        while len(self.waiting):
            self._round()
        return self.facets[self.alive]

    def _round(self) -> None:
        tops = self._tops()
        visible, rim = self._regions(tops)
        # a better candidate takes a facet, or a facet beside its region, from all others
        taken = np.full(len(self.facets), len(tops), dtype=np.int64)
        beside = taken.copy()
        np.minimum.at(taken, visible[1], visible[0])
        np.minimum.at(beside, rim[3], rim[0])
        wins = np.ones(len(tops), dtype=bool)
        wins[visible[0][np.minimum(taken, beside)[visible[1]] < visible[0]]] = False
        wins[rim[0][taken[rim[3]] < rim[0]]] = False
        gone = visible[:, wins[visible[0]]]
        self.alive[gone[1]] = False
        first, count = self._build(self.waiting[tops], rim[:, wins[rim[0]]])
        self._redistribute(gone, first, count)

    def _tops(self) -> Integers:
        """Rows of `waiting` with the highest point of each facet, the highest of all first.

        Facets beside one with a higher point are left out: the two regions would touch, and looking at them costs most.
        """
        order = np.lexsort((self.height, self.owner))
        last = np.append(self.owner[order][1:] != self.owner[order][:-1], True)
        tops = order[last]
        tops = tops[np.argsort(-self.height[tops], kind="stable")]
        rank = np.full(len(self.facets), len(tops), dtype=np.int64)
        rank[self.owner[tops]] = np.arange(len(tops))
        around = rank[self.across[self.owner[tops]]].min(axis=1)
        return np.asarray(tops[np.arange(len(tops)) < around])

    def _regions(self, tops: Integers) -> tuple[Integers, Integers]:
        """What each candidate sees: pairs (candidate, facet), and the rim (candidate, facet, edge, facet beyond)."""
        total = len(self.facets)
        candidate = np.arange(len(tops), dtype=np.int64)
        frontier = np.stack([candidate, self.owner[tops]])
        known = frontier[0] * total + frontier[1]  # ascending, for the candidates are
        visible, rims = [frontier], []
        while frontier.shape[1]:
            who, facet = np.repeat(frontier, 3, axis=1)
            edge = np.tile(np.arange(3, dtype=np.int64), frontier.shape[1])
            beyond = self.across[facet, edge]
            seen = self._above(beyond, self.waiting[tops[who]]) > 0
            rims.append(np.stack([who, facet, edge, beyond])[:, ~seen])
            fresh = np.unique(who[seen] * total + beyond[seen])
            at = np.minimum(np.searchsorted(known, fresh), len(known) - 1)
            fresh = fresh[known[at] != fresh]
            known = np.sort(np.concatenate([known, fresh]))
            frontier = np.stack(np.divmod(fresh, total))
            visible.append(frontier)
        return np.concatenate(visible, axis=1), np.concatenate(rims, axis=1)

    def _build(self, apexes: Integers, rim: Integers) -> tuple[Integers, Integers]:
        """A new facet over each rim edge; returns first new facet and number of new facets by candidate."""
        rim = rim[:, np.argsort(rim[0], kind="stable")]
        who, inside, edge, beyond = rim
        tail, head = self.facets[inside, edge], self.facets[inside, (edge + 1) % 3]
        names = len(self.facets) + np.arange(len(who), dtype=np.int64)
        # a rim is a ring: the facet after this one begins where this one's edge ends
        begins, ends = who * len(self.points) + tail, who * len(self.points) + head
        order = np.argsort(begins)
        following = order[np.searchsorted(begins[order], ends)]
        leading = np.empty_like(following)
        leading[following] = np.arange(len(who))
        self.across[beyond, np.argmax(self.facets[beyond] == head[:, None], axis=1)] = names
        fresh = np.column_stack([tail, head, apexes[who]])
        self.facets = np.concatenate([self.facets, fresh])
        self.across = np.concatenate([self.across, np.column_stack([beyond, names[following], names[leading]])])
        self.normals = np.concatenate([self.normals, self._normals(fresh)])
        self.alive = np.concatenate([self.alive, np.ones(len(who), dtype=bool)])
        count = np.bincount(who, minlength=len(apexes))
        return names[0] + np.cumsum(count) - count, count

    def _redistribute(self, gone: Integers, first: Integers, count: Integers) -> None:
        """Points over facets that are gone look for new ones among those of the candidate that took theirs."""
        taker = np.full(len(self.facets), -1, dtype=np.int64)
        taker[gone[1]] = gone[0]
        by = taker[self.owner]
        rows = np.flatnonzero(by >= 0)
        by = by[rows]
        times = count[by]
        row = np.repeat(np.arange(len(rows), dtype=np.int64), times)
        facet = np.repeat(first[by] - np.cumsum(times) + times, times) + np.arange(len(row), dtype=np.int64)
        self.owner[rows], self.height[rows] = self._highest(row, facet, len(rows), self.waiting[rows])
        self._drop_inside()

    def _highest(self, row: Integers, facet: Integers, rows: int, points: Integers | None = None) -> tuple[Integers, Floats]:
        """For each row the facet its point is highest above, among the given pairs; -1 when it is above none."""
        above = self._above(facet, row if points is None else points[row])
        seen = above > 0
        row, facet = row[seen], facet[seen]
        high = above[seen] / np.sqrt((self.normals[facet].astype(np.float64) ** 2).sum(axis=1))
        owner, height = np.full(rows, -1, dtype=np.int64), np.zeros(rows)
        order = np.argsort(high)
        owner[row[order]], height[row[order]] = facet[order], high[order]  # of several the last, so the highest, stays
        return owner, height

    def _drop_inside(self) -> None:
        outside = self.owner >= 0
        self.waiting, self.owner, self.height = self.waiting[outside], self.owner[outside], self.height[outside]

    def _normals(self, facets: Integers) -> Integers:
        a, b, c = np.moveaxis(self.points[facets], 1, 0)
        return np.cross(b - a, c - a)

    def _above(self, facets: Integers, points: Integers) -> Integers:
        """Exact signed height of points over facets, times twice the facet's area."""
        return np.asarray((self.normals[facets] * (self.points[points] - self.points[self.facets[facets, 0]])).sum(axis=1))
