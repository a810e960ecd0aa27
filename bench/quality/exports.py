"""The same part written anew, without a CAD kernel: meshes by numpy, drawings by ezdxf. `reexports` does what needs one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import ezdxf
import numpy as np
from ezdxf import transform
from ezdxf.document import Drawing
from ezdxf.math import Matrix44

from foundation.engine_settings import CadSettings
from workers.cad.readers import read
from workers.cad.shape import Floats, Integers, Mesh

INCH = 25.4
_GRID = 0.005  # of the largest side: the coarser mesh has no detail below
_RELEASE, _OTHER_RELEASE = "R2018", "R2004"
_ROUNDS = 32  # of exploding references within references


class NotApplicable(Exception):
    """This file has no such variant; the message says why."""


def _turned(vertices: Floats) -> Floats:
    """Turned about an axis that is no symmetry of anything, and moved by about its size, as parts lie in assemblies."""
    axis, angle = np.array([0.36, 0.48, 0.8]), 1.1
    cross = np.cross(np.eye(3), axis)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    size = np.ptp(vertices, axis=0).max()
    return np.asarray(vertices @ turn.T + size * np.array([1.7, -0.6, 2.3]))


def _four(vertices: Floats, triangles: Integers) -> tuple[Floats, Integers]:
    """Each triangle becomes four, cut at the middles of its edges, which neighbours share."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    kinds, which = np.unique(edges, axis=0, return_inverse=True)
    ab, bc, ca = (which.reshape(-1, 3) + len(vertices)).T
    a, b, c = triangles.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([vertices, vertices[kinds].mean(axis=1)]), np.concatenate([np.stack(part, axis=1) for part in parts])


def _three(vertices: Floats, triangles: Integers) -> tuple[Floats, Integers]:
    """Each triangle becomes three slim ones that meet in its middle."""
    middle = len(vertices) + np.arange(len(triangles))
    a, b, c = triangles.T
    parts = [(a, b, middle), (b, c, middle), (c, a, middle)]
    return np.concatenate([vertices, vertices[triangles].mean(axis=1)]), np.concatenate([np.stack(part, axis=1) for part in parts])


def _coarse(vertices: Floats, triangles: Integers) -> tuple[Floats, Integers]:
    """Vertices within a cell of a grid become one, their mean."""
    cell = np.floor((vertices - vertices.min(axis=0)) / (_GRID * np.ptp(vertices, axis=0).max())).astype(np.int64)
    _, which, sizes = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    if len(sizes) == len(vertices):
        raise NotApplicable("nothing to merge")
    means = np.stack([np.bincount(which, weights=vertices[:, axis]) for axis in range(3)], axis=1) / sizes[:, None]
    merged = which[triangles]
    whole = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 2] != merged[:, 0])
    return means, merged[whole]


# what Open CASCADE makes of STEP parts; its writers stand in `reexports`, which is not imported here because it may die
REEXPORTS = ("STEP turned, moved", "STEP x 25.4", "IGES solid", "IGES faces", "fine STL", "coarse STL")
# of IGES, which often holds loose faces that no writer joins again, only the mesh of our reader is turned
ONCE = ("turned, moved",)

_Remesh = Callable[[Floats, Integers], tuple[Floats, Integers]]

SOLID_VARIANTS: Mapping[str, _Remesh] = {
    "turned, moved": lambda vertices, triangles: (_turned(vertices), triangles),
    "finer, 1 to 4": lambda vertices, triangles: _four(_turned(vertices), triangles),
    "slimmer, 1 to 3": lambda vertices, triangles: _three(_turned(vertices), triangles),
    "coarser": lambda vertices, triangles: _coarse(_turned(vertices), triangles),
    "x 25.4": lambda vertices, triangles: (INCH * _turned(vertices), triangles),
}


def _released(drawing: Drawing) -> None:
    drawing.dxfversion = _RELEASE if drawing.acad_release != _RELEASE else _OTHER_RELEASE


def _mapped(drawing: Drawing, matrix: Matrix44) -> None:
    failed = transform.inplace(drawing.modelspace(), matrix)
    if len(failed):
        raise NotApplicable("ezdxf cannot move every entity")


def _exploded(drawing: Drawing) -> None:
    space = drawing.modelspace()
    inserts = space.query("INSERT")
    if any(insert.mcount > 1 for insert in inserts):
        raise NotApplicable("rows of references")
    changed = False
    for _ in range(_ROUNDS):
        if not inserts:
            break
        changed = True
        for insert in inserts:
            insert.explode()
        inserts = space.query("INSERT")
    for polyline in space.query("LWPOLYLINE POLYLINE"):
        if polyline.dxftype() == "LWPOLYLINE" or polyline.is_2d_polyline:
            changed = True
            polyline.explode()
    if not changed:
        raise NotApplicable("nothing to explode")


FLAT_VARIANTS: Mapping[str, Callable[[Drawing], None]] = {
    "other release": _released,
    "moved": lambda drawing: _mapped(drawing, Matrix44.translate(1234.5, -987.6, 0)),
    "turned, moved": lambda drawing: _mapped(drawing, Matrix44.z_rotate(0.65) @ Matrix44.translate(120, -340, 0)),
    "exploded": _exploded,
    "x 25.4": lambda drawing: _mapped(drawing, Matrix44.scale(INCH, INCH, INCH)),
}


def write_variant(source: Path, variant: str, target: Path) -> Path:
    """Write the variant beside `target`, with the ending of its format, and tell where. Raises NotApplicable."""
    if source.suffix.lower() == ".dxf":
        try:
            drawing = ezdxf.readfile(source)
        except (OSError, ezdxf.DXFError, ValueError) as error:
            raise NotApplicable("ezdxf cannot read it") from error
        FLAT_VARIANTS[variant](drawing)
        written = target.with_suffix(".dxf")
        drawing.saveas(written)
        return written
    geometry = read(source, source.name, CadSettings()).geometry
    if not isinstance(geometry, Mesh):
        raise NotApplicable("not a solid")
    written = target.with_suffix(".stl")
    written.write_bytes(binary_stl(*SOLID_VARIANTS[variant](geometry.vertices, geometry.triangles)))
    return written


def binary_stl(vertices: Floats, triangles: Integers) -> bytes:
    row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows = np.zeros(len(triangles), dtype=row)
    rows["corners"] = vertices[triangles]
    return bytes(80) + len(rows).to_bytes(4, "little") + rows.tobytes()
