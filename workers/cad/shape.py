"""What every reader yields: a `Shape`, flat (`Paths`) or solid (`Mesh`), with its units, findings and facts.

All coordinates and lengths are millimetres in float64; arrays are finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from tasks.vocabulary import Family, Format

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# beyond this a coordinate is an overflow or an accident: 10^12 mm is a million kilometres, its sixth power is still finite
LARGEST = 1e12
# straight pieces that stand for a full turn where a curve is flattened
TURN_PIECES = 64


class FindingCode(StrEnum):
    """What a reader repaired, lost or assumed, without failing."""

    UNITS_ASSUMED = "UNITS_ASSUMED"
    FILE_REPAIRED = "FILE_REPAIRED"
    TEXT_REPAIRED = "TEXT_REPAIRED"
    ENTITIES_SKIPPED = "ENTITIES_SKIPPED"
    ENTITIES_INVALID = "ENTITIES_INVALID"
    NUMBERS_DROPPED = "NUMBERS_DROPPED"
    BLOCKS_MISSING = "BLOCKS_MISSING"
    REFERENCES_IGNORED = "REFERENCES_IGNORED"
    DEPTH_DROPPED = "DEPTH_DROPPED"
    BYTES_IGNORED = "BYTES_IGNORED"
    MESH_OPEN = "MESH_OPEN"
    MESH_BRANCHING = "MESH_BRANCHING"
    MESH_TURNED = "MESH_TURNED"
    TRIANGLES_DROPPED = "TRIANGLES_DROPPED"
    REFERENCES_DANGLING = "REFERENCES_DANGLING"
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    FACES_MISSING = "FACES_MISSING"
    PREVIEW_MISSING = "PREVIEW_MISSING"
    UNITS_OVERRIDDEN = "UNITS_OVERRIDDEN"
    UNITS_DOUBTFUL = "UNITS_DOUBTFUL"
    SLOTS_MISSING = "SLOTS_MISSING"


_SENTENCES = {
    FindingCode.UNITS_ASSUMED: "The file names no unit of length; millimetres are assumed.",
    FindingCode.FILE_REPAIRED: "The file breaks the rules of its format and was read with repairs.",
    FindingCode.TEXT_REPAIRED: "Some characters of names or texts could not be decoded and were replaced.",
    FindingCode.ENTITIES_SKIPPED: "Entities of kinds that have no outline to measure were skipped.",
    FindingCode.ENTITIES_INVALID: "Entities without a sensible definition were left out.",
    FindingCode.NUMBERS_DROPPED: "Pieces with numbers that are not finite or absurdly large were left out.",
    FindingCode.BLOCKS_MISSING: "References to blocks that do not exist were left out.",
    FindingCode.REFERENCES_IGNORED: "References to other files were not followed.",
    FindingCode.DEPTH_DROPPED: "The drawing leaves its plane; it is measured as seen from above.",
    FindingCode.BYTES_IGNORED: "Bytes after the end of the data were ignored.",
    FindingCode.MESH_OPEN: "The mesh is not closed; its volume is not trustworthy.",
    FindingCode.MESH_BRANCHING: "More than two triangles meet at some edges.",
    FindingCode.MESH_TURNED: "The triangles face inwards; the magnitude of the volume is used.",
    FindingCode.TRIANGLES_DROPPED: "Triangles without extent were left out.",
    FindingCode.REFERENCES_DANGLING: "Entities name others that do not exist; what needs these was left out.",
    FindingCode.SCHEMA_UNKNOWN: "The file names a schema of its own; it was read like any STEP model.",
    FindingCode.FACES_MISSING: "Faces that could not be built or meshed are missing from the measures.",
    FindingCode.PREVIEW_MISSING: "No preview could be drawn or kept; the features are not affected.",
    FindingCode.UNITS_OVERRIDDEN: "The request names another unit of length than the file; the request's was used.",
    FindingCode.UNITS_DOUBTFUL: "The sizes suggest another unit of length: they may be 25.4 times too large or too small.",
    FindingCode.SLOTS_MISSING: "Some slots of the wanted feature version could not be computed; the vector is of a lower version.",
}


class Finding(msgspec.Struct, frozen=True):
    """One kind of repair, loss or assumption, and how often it was needed."""

    code: FindingCode
    message: str
    count: int = 1

    @classmethod
    def of(cls, code: FindingCode, count: int = 1) -> Finding:
        return cls(code, _SENTENCES[code], count)

    def public(self) -> dict[str, Any]:
        return {"code": self.code.value, "message": self.message, "count": self.count}


class Origin(StrEnum):
    """Where a unit of length comes from."""

    FILE = "file"
    GIVEN = "given"
    ASSUMED = "assumed"


class Units(msgspec.Struct, frozen=True):
    """The unit of the file; the shape itself is already in millimetres. `confidence` is 0..1; `suspected` is the unit that the
    sizes would rather suggest, if any.
    """

    name: str
    millimetres_per_unit: float
    origin: Origin
    confidence: float
    suspected: str | None = None

    def public(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "millimetres_per_unit": self.millimetres_per_unit,
            "origin": self.origin.value,
            "confidence": self.confidence,
            "suspected": self.suspected,
        }


# how sure a bare number is to mean millimetres: most exchanged parts are metric, not all
MILLIMETRES_ASSUMED = Units("mm", 1.0, Origin.ASSUMED, 0.5)


class Arcs(msgspec.Struct, frozen=True, eq=False, dict=True):
    """a circular arcs in the XY plane, counter-clockwise; angles in radians."""

    centres: Floats  # (a, 2)
    radii: Floats  # (a,) > 0
    starts: Floats  # (a,)
    sweeps: Floats  # (a,) > 0, a full turn at most

    @cached_property
    def lengths(self) -> Floats:
        return self.radii * self.sweeps

    def scaled(self, factor: float) -> Arcs:
        return replace(self, centres=self.centres * factor, radii=self.radii * factor)

    def some(self, which: Integers) -> Arcs:
        return Arcs(self.centres[which], self.radii[which], self.starts[which], self.sweeps[which])

    def points(self, turn: int, least: int = 1) -> Floats:
        """Points on the arcs (p, 2), one arc after the other, both ends included: `turn` pieces for a full turn, `least` for any."""
        counts = np.maximum(pieces(self.sweeps, turn), least)
        owner, index = steps(counts + 1)
        angles, radii = self.starts[owner] + (self.sweeps / counts)[owner] * index, self.radii[owner]
        points = np.empty((len(angles), 2))
        # column by column, for numpy is slow along short axes
        for axis, ratio in enumerate((np.cos, np.sin)):
            np.add(ratio(angles) * radii, self.centres[:, axis][owner], out=points[:, axis])
        return points


NO_ARCS = Arcs(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0))


def steps(counts: Integers) -> tuple[Integers, Integers]:
    """For rows of `counts` elements, one after the other: the row of each element, and its place in the row."""
    owner = np.arange(len(counts)).repeat(counts)
    place = np.arange(len(owner))
    place -= (counts.cumsum() - counts).repeat(counts)
    return owner, place


def pieces(sweeps: Floats, turn: int) -> Integers:
    """Number of straight pieces for each sweep: an angle, never a distance, so that size and pose change nothing."""
    # the small allowance keeps a full turn at its number of pieces whatever its last bit says
    return np.maximum(np.ceil(sweeps * (turn / (2 * np.pi)) - 1e-6), 1).astype(np.int64)


class Paths(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Outlines of a drawing in its XY plane, as s straight pieces and as circular arcs, and what is known about it beyond them."""

    ends: Floats  # (2, s, 2) where each piece begins, and where it ends
    lengths: Floats  # (s,) > 0
    curved: Flags  # (s,) the piece belongs to an ellipse or a spline
    inner: Flags  # (s, 2) tail or head is an inner point of a curve, so no corner
    arcs: Arcs
    paths: int  # how many outlines pieces and arcs form
    box: Floats  # (2, 2) exact lowest and highest corner
    expanded: Mapping[str, int]  # entities by type after block references are expanded

    @cached_property
    def length(self) -> float:
        return float(self.lengths.sum() + self.arcs.lengths.sum()) if len(self.arcs.radii) else float(self.lengths.sum())

    def scaled(self, factor: float) -> Paths:
        """The same outlines, `factor` times as long."""
        names = ("ends", "lengths", "box")
        return replace(self, arcs=self.arcs.scaled(factor), **{name: getattr(self, name) * factor for name in names})

    def chords(self) -> Floats:
        """All outlines as straight pieces (n, 2, 2), for those who only want to see them."""
        points, counts = self.arcs.points(TURN_PIECES), pieces(self.arcs.sweeps, TURN_PIECES)
        last = np.cumsum(counts + 1) - 1
        bent = np.stack([np.delete(points, last, axis=0), np.delete(points, last - counts, axis=0)])
        return np.concatenate([self.ends, bent], axis=1).swapaxes(0, 1)


class Mesh(msgspec.Struct, frozen=True, eq=False):
    """Triangles over welded vertices."""

    vertices: Floats  # (n, 3)
    triangles: Integers  # (m, 3), each with three different vertices

    def scaled(self, factor: float) -> Mesh:
        """The same mesh, `factor` times as large."""
        return replace(self, vertices=self.vertices * factor)


def area_vectors(corners: Floats) -> Floats:
    """Normals (3, m) of triangles with corners (3 axes, 3 corners, m), each twice as long as its triangle is large.

    Written out: np.cross takes several times as long.
    """
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    out = np.empty_like(a)
    other = np.empty_like(a[0])
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        np.multiply(u[one], v[two], out=out[axis])
        out[axis] -= np.multiply(u[two], v[one], out=other)
    return out


def ranked(keys: NDArray[np.int64] | NDArray[np.uint64]) -> tuple[Integers, NDArray[np.uint64]]:
    """The order (n,) that sorts integers (n,) >= 0, and these sorted; equal ones stay in their order.

    Where key and place fit into 64 bits together these are sorted, as plain numbers: several times faster than by reference.
    """
    numbers = keys.view(np.uint64)
    spare = np.uint64(len(keys).bit_length())
    if int(numbers.max(initial=0)).bit_length() + int(spare) > 64:
        order: Integers = np.argsort(numbers, kind="stable")
        return order, numbers.take(order)
    packed = numbers << spare
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    return (packed & ((np.uint64(1) << spare) - np.uint64(1))).view(np.int64), packed >> spare


def components(count: int, one: Integers, two: Integers, linked: Flags) -> Integers:
    """Name of the connected component of each of `count` nodes (its smallest member), given links one - two where `linked`.

    Label propagation with pointer jumping: each round halves the distance to the smallest member.
    """
    label = np.arange(count, dtype=np.int64)
    one, two = one.compress(linked), two.compress(linked)
    while len(one):
        np.minimum.at(label, np.maximum(one, two), np.minimum(one, two))
        while True:
            # two jumps a look: to look whether anything moved costs as much as a jump
            jumped = label.take(label)
            jumped = jumped.take(jumped)
            if not np.count_nonzero(jumped != label):
                break
            label = jumped
        one, two = label.take(one), label.take(two)
        apart = one != two
        one, two = one.compress(apart), two.compress(apart)
    return label


class Shape(msgspec.Struct, frozen=True, eq=False):
    """One file as the feature code sees it."""

    format: Format
    family: Family
    geometry: Paths | Mesh
    units: Units
    findings: tuple[Finding, ...]
    types: Mapping[str, int]  # entities or faces by type; empty for bare meshes, whose regions are found later
    facts: Mapping[str, Any] = {}
    box: Floats | None = None  # (2, 3) lowest and highest corner, where the file knows them better than its mesh

    @property
    def extent(self) -> Floats:
        """Lowest and highest corner, (2, 2) or (2, 3)."""
        if self.box is not None:
            return self.box
        if isinstance(self.geometry, Paths):
            return self.geometry.box
        return np.stack([self.geometry.vertices.min(axis=0), self.geometry.vertices.max(axis=0)])

    def scaled(self, factor: float) -> Shape:
        """The same shape, `factor` times as large. What is told of it in millimetres grows with it."""
        facts = {name: value * factor ** _POWERS[name] if name in _POWERS else value for name, value in self.facts.items()}
        box = None if self.box is None else self.box * factor
        return replace(self, geometry=self.geometry.scaled(factor), facts=facts, box=box)


# facts that are measures: lengths, areas and volumes
_POWERS = {"total_length": 1, "area": 2, "volume": 3}
