"""HATCH entities with straight boundaries, all at once; bent ones and odd ones are left to be lent to the reference."""

from __future__ import annotations

import numpy as np

from workers.cad.dxf.fast.forms import Forms
from workers.cad.dxf.fast.outlines import Outlines, frames
from workers.cad.dxf.fast.plan import Plan
from workers.cad.shape import Flags, Floats, Integers, steps


def _codes(*codes: int) -> Flags:
    flags = np.zeros(2048, dtype=bool)
    flags[list(codes)] = True
    return flags


# the number of boundaries, the flags of each, the type of an edge; flags: a polyline, not edges; type: a line
_BOUNDARIES, _FLAGS, _EDGE, _POLYLINE, _LINE = 91, 92, 72, 2, 1
# before the boundaries; as long as these follow, the reference takes them for boundaries; of these are straight ones
_HEAD = _codes(100, 2, 10, 20, 30, 70, 71, 210, 220, 230)
_BOUNDARY = _codes(*range(10, 14), *range(20, 24), *range(30, 34), 40, 42, 50, 51, *range(72, 75), *range(92, 98), 330)
_STRAIGHT = _codes(10, 20, 11, 21, 42, 72, 73, 92, 93, 97, 330)
# style, pattern, seed points, data of applications
_REST = _codes(75, 76, 52, 41, 77, 78, 53, 43, 44, 45, 46, 79, 49, 47, 98, 10, 20, 30, *range(1000, 1072))
# bulges that the reference takes for none, and how near two points must be that it may take them for one
_NO_BULGE, _NEAR, _NEAR_ZERO = 1e-6, 1e-8, 1e-11


class Hatches:
    """Hatches, which are `entities` of the plan: those whose boundaries are plainly straight, and these boundaries."""

    def __init__(self, plan: Plan, entities: Integers) -> None:
        self._tags = tags = plan.tags
        heads, stops = plan.heads[entities], plan.heads[entities + 1]
        owner, index = steps(stops - heads)
        at = heads[owner] + index
        codes, marks = tags.codes[at], tags.marks[at] - tags.marks[heads][owner]
        own = marks == 2
        self.begins = _first(owner, at, own & (codes == _BOUNDARIES), stops)
        before, inside = own & (at < self.begins[owner]), at > self.begins[owner]
        ends = _first(owner, at, inside & ~_BOUNDARY[codes], stops)
        rest = inside & (at >= ends[owner])
        inside &= ~rest
        self._odd = self.begins == stops
        self._refuse(owner, (before & ~_HEAD[codes]) | (inside & ~_STRAIGHT[codes]) | (rest & ~_REST[codes]))
        # the elevation is a point in space; points after the boundaries are seeds, else the reference takes them for elevations
        self._refuse(owner, before & (codes == 10) & (tags.codes[np.minimum(at + 2, len(tags.codes) - 1)] != 30))
        self._refuse(owner, rest & (codes == 10) & ~np.isin(tags.codes[at - 1], (98, 20, 30)))
        self._refuse(owner, inside & (at == self.begins[owner] + 1) & (codes != _FLAGS))
        inside &= ~self._odd[owner]
        self.lines, self.owner = self._outlined(owner[inside], at[inside])
        self.plain: Flags = ~self._odd

    def _refuse(self, owner: Integers, which: Flags) -> None:
        self._odd[owner[which]] = True

    def _outlined(self, owner: Integers, at: Integers) -> tuple[Floats, Integers]:
        """Straight pieces (s, 2, 2) in the planes of the hatches, and the hatch of each, of the tags of all boundaries."""
        if not len(at):
            return np.zeros((0, 2, 2)), owner
        codes, numbers = self._tags.codes[at], self._tags.numbers[at]
        begin = codes == _FLAGS
        bound, hatch = begin.cumsum() - 1, owner[begin]
        chain = (numbers[begin].astype(np.int64) & _POLYLINE) > 0
        of_chain = chain[bound]
        first, second = codes == 10, codes == 11
        previous = self._tags.codes[at - 1]
        # a second y of a point counts for the reference
        self._refuse(owner, ((codes == 20) & (previous != 10)) | ((codes == 21) & (previous != 11)))
        # a bulge belongs to the corner before it; a polyline is told once whether it is closed
        self._refuse(owner, (codes == 42) & (~of_chain | (previous != 20) | (np.abs(numbers) >= _NO_BULGE)))
        self._refuse(owner, np.where(of_chain, second, codes == 73))
        shut = (codes == 73).nonzero()[0]
        closed = ~chain
        closed[bound[shut]] = numbers[shut] != 0
        self._odd[hatch[np.bincount(bound[shut], minlength=len(hatch)) > 1]] = True
        edge = ((codes == _EDGE) & ~of_chain).nonzero()[0]
        self._check_edges(bound, edge, at[edge], first & ~of_chain, second, hatch)
        lead = np.concatenate([[True], bound[edge][1:] != bound[edge][:-1]])[: len(edge)]
        corner = np.concatenate([at[first & of_chain], at[edge[lead]] + 1, at[edge] + 3])
        bound = np.concatenate([bound[first & of_chain], bound[edge[lead]], bound[edge]])
        kept = ~self._odd[hatch[bound]]
        order = corner[kept].argsort()
        return self._chained(corner[kept][order], bound[kept][order], closed, hatch)

    def _check_edges(self, bound: Integers, edge: Integers, at: Integers, first: Flags, second: Flags, hatch: Integers) -> None:
        """Edges must be lines, each from where the one before it ends."""
        tags, last, count = self._tags, len(self._tags.codes) - 1, len(hatch)
        of = bound[edge]
        wrong = tags.numbers[at] != _LINE
        for step, code in enumerate((10, 20, 11, 21)):
            wrong |= tags.codes[np.minimum(at + step + 1, last)] != code
        edges = np.bincount(of, minlength=count)
        unlike = (np.bincount(bound[first], minlength=count) != edges) | (np.bincount(bound[second], minlength=count) != edges)
        self._odd[hatch[of[wrong]]] = True
        self._odd[hatch[unlike]] = True
        apart = np.zeros(max(len(edge) - 1, 0), dtype=bool)
        for axis in (0, 1):
            tails, heads = np.minimum(at[1:] + 1 + axis, last), np.minimum(at[:-1] + 3 + axis, last)
            apart |= tags.numbers[tails] != tags.numbers[heads]
        self._odd[hatch[of[1:][apart & (of[1:] == of[:-1])]]] = True

    def _chained(self, corner: Integers, bound: Integers, closed: Flags, hatch: Integers) -> tuple[Floats, Integers]:
        """From each corner to the next one of its boundary, and back to the first one where it is closed."""
        points = np.stack([self._tags.numbers[corner], self._tags.numbers[corner + 1]], axis=1)
        same = bound[1:] == bound[:-1]
        begin = np.concatenate([[True], ~same])[: len(corner)].nonzero()[0]
        final = np.concatenate([~same, [True]])[-len(corner) :].nonzero()[0] if len(corner) else begin
        apart = np.abs(points[begin] - points[final]).max(axis=1, initial=0.0)
        back = closed[bound[begin]] & (apart > 0)
        near = apart <= _NEAR * np.abs(points[begin]).max(axis=1, initial=0.0) + _NEAR_ZERO
        self._odd[hatch[bound[begin[back & near]]]] = True
        tails = np.concatenate([points[:-1][same], points[final[back]]])
        heads = np.concatenate([points[1:][same], points[begin[back]]])
        return np.stack([tails, heads], axis=1), hatch[np.concatenate([bound[1:][same], bound[begin[back]]])]

    def draw(self, forms: Forms, which: Integers, of: Integers, to: Outlines) -> None:
        """The outlines of the hatches `which`, all of them plain; `of` are their places among the forms."""
        number = np.full(len(self.plain), -1, dtype=np.int64)
        number[which] = np.arange(len(which))
        mine = number[self.owner]
        mine, flat = mine[mine >= 0], self.lines[mine >= 0]
        lines = np.zeros((len(mine), 2, 3))
        lines[:, :, :2] = flat
        lines[:, :, 2] = forms.point(of, 10, 2)[0][mine, 2, None]
        axes, turned = frames(forms, of, 2)
        lean = turned[mine]
        if lean.any():
            lines[lean] = lines[lean] @ axes[mine[lean]]
        to.lines.append((lines, of[mine]))
        to.invalid.append(of[np.bincount(mine, minlength=len(of)) == 0])


def _first(owner: Integers, at: Integers, which: Flags, otherwise: Integers) -> Integers:
    """The first of some tags for each owner."""
    found = otherwise.copy()
    some = which.nonzero()[0][::-1]
    found[owner[some]] = at[some]
    return found
