"""References to blocks, all at once: to which block, how often, and where."""

from __future__ import annotations

from collections import Counter

import numpy as np

from workers.cad.dxf.blocks import References
from workers.cad.dxf.fast.entities import Entities
from workers.cad.dxf.fast.outlines import frames, raised
from workers.cad.dxf.fast.plan import SPACES
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.shape import FindingCode, Floats, Integers

_MISSING, _EXTERNAL = -1, -2


class Inserts:
    """All INSERT entities of a drawing."""

    def __init__(self, entities: Entities) -> None:
        self._entities, self._forms = entities, entities.forms
        self._all = entities.which(b"INSERT")
        if not len(self._all):
            return
        of = entities.form(self._all)
        self._keys, self._block = self._targets(of)
        self._rows, self._columns = self._grid(of, 71, 45), self._grid(of, 70, 44)
        # for all of them, drawn or not: the reference leaves out those that have no direction
        self._axes, _ = frames(self._forms, of)
        self._attributes = np.array(
            [end - start for start, end in (entities.mains.get(at, (0, 0)) for at in self._all.tolist())], dtype=np.int64
        )

    def _targets(self, of: Integers) -> tuple[list[str], Integers]:
        """The keys of the blocks, and which of them each reference means."""
        entities = self._entities
        named = self._forms.take(of, 2)
        if (named < 0).any():
            raise NotCovered("a reference to nothing")
        number, values = entities.plan.tags.interned(named)
        keys = [entities.plan.decode(value).lower() for value in values]
        flags = self._forms.number(entities.form(np.array([block.entity for block in entities.blocks], dtype=np.int64)), 70)
        targets = []
        for at, key in enumerate(keys):
            # to insert a layout is to insert the drawing into itself
            if not key or key.startswith(SPACES):
                raise NotCovered("a reference to a layout")
            block = entities.keys.get(key)
            external = block is not None and block >= 0 and int(flags[block]) & 4
            targets.append(_MISSING if block is None else _EXTERNAL if external else at)
        # names that differ in their case mean one block
        first = {key: at for at, key in reversed(list(enumerate(keys)))}
        targets = [first[keys[target]] if target >= 0 else target for target in targets]
        return keys, np.array(targets, dtype=np.int64)[number] if len(number) else np.zeros(0, dtype=np.int64)

    def _grid(self, of: Integers, count: int, spacing: int) -> Integers:
        """Rows or columns; without spacing all copies coincide and count once."""
        spaced = self._forms.number(of, spacing) != 0
        return np.maximum(np.where(spaced, self._forms.number(of, count, 1.0), 1.0), 1.0).astype(np.int64)

    def of(self, entities: Integers) -> tuple[dict[str, References], int | None, Counter[FindingCode]]:
        """What these INSERT entities refer to; how many attributes come with them, None where nothing is referred to."""
        if not len(entities):
            return {}, None, Counter()
        at = self._all.searchsorted(entities)
        block = self._block[at]
        findings = Counter({FindingCode.BLOCKS_MISSING: int((block == _MISSING).sum())})
        findings[FindingCode.REFERENCES_IGNORED] += int((block == _EXTERNAL).sum())
        at, block = at[block >= 0], block[block >= 0]
        if not len(at):
            return {}, None, findings
        order = np.argsort(block, kind="stable")
        groups = np.split(at[order], np.flatnonzero(np.diff(block[order])) + 1)
        # in the order of their first references
        groups.sort(key=lambda group: int(group[0]))
        references = {self._keys[self._block[group[0]]]: self._references(group) for group in groups}
        return references, int(self._attributes[at].sum()), findings

    def _references(self, at: Integers) -> References:
        return References(int((self._rows[at] * self._columns[at]).sum()), lambda: self._places(at))

    def _places(self, at: Integers) -> tuple[Floats, Floats]:
        forms, entities = self._forms, self._entities
        of = entities.form(self._all[at])
        axes = self._axes[at]
        scale = np.stack([forms.number(of, code, 1.0) for code in (41, 42, 43)], axis=1)
        angle = np.radians(forms.number(of, 50))
        matrices = (axes * scale[:, :, None]) @ _turns(axes[:, 2], angle)
        offsets = np.einsum("ni,nij->nj", raised(forms, of, forms.point(of, 10)[0]), axes)
        number = entities.keys[self._keys[self._block[at[0]]]]
        if number >= 0:
            base = forms.point(entities.form(np.array([entities.blocks[number].entity])), 10)[0]
            offsets -= np.einsum("ni,nij->nj", np.repeat(base, len(of), axis=0), matrices)
        rows, columns = self._rows[at], self._columns[at]
        times = rows * columns
        if (times == 1).all():
            return matrices, offsets
        # the grid turns with the reference but is not scaled by it
        owner = np.repeat(np.arange(len(at)), times)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(times) - times, times)
        across = (step % columns[owner]) * forms.number(of, 44)[owner]
        up = (step // columns[owner]) * forms.number(of, 45)[owner]
        cosine, sine = np.cos(angle)[owner], np.sin(angle)[owner]
        x, y = across * cosine - up * sine, across * sine + up * cosine
        shifts = x[:, None] * axes[owner, 0] + y[:, None] * axes[owner, 1]
        return matrices[owner], offsets[owner] + shifts


def _turns(axis: Floats, angle: Floats) -> Floats:
    """Matrices (n, 3, 3) that turn row vectors about unit axes."""
    x, y, z = axis.T
    cosine, sine = np.cos(angle), np.sin(angle)
    rest = 1.0 - cosine
    rows = [
        [x * x * rest + cosine, y * x * rest + z * sine, x * z * rest - y * sine],
        [x * y * rest - z * sine, y * y * rest + cosine, y * z * rest + x * sine],
        [x * z * rest + y * sine, y * z * rest - x * sine, z * z * rest + cosine],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
