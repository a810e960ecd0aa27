"""Loose faces become the bodies they bound, also where a reader laid a boundary out wrong and where bodies touch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.workers.cad.kernel_here import needs_kernel

pytestmark = needs_kernel

RADIUS, HEIGHT = 5.0, 14.0


def measured(shape: Any) -> tuple[int, float, float]:
    """How many solids the faces of a shape are sewn to, their area and their volume."""
    from OCP.BRepGProp import BRepGProp
    from OCP.GProp import GProp_GProps
    from OCP.TopAbs import TopAbs_SOLID

    from workers.cad.brep.body import elements
    from workers.cad.brep.sewing import sewn

    whole = sewn(shape)
    assert whole.findings == ()
    surface, solid = GProp_GProps(), GProp_GProps()
    BRepGProp.SurfaceProperties_s(whole.shape, surface)
    BRepGProp.VolumeProperties_s(whole.shape, solid)
    return len(elements(whole.shape, TopAbs_SOLID)), surface.Mass(), solid.Mass()


def compound(*shapes: Any) -> Any:
    from OCP.BRep import BRep_Builder
    from OCP.TopoDS import TopoDS_Compound

    whole, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(whole)
    for shape in shapes:
        builder.Add(whole, shape)
    return whole


def faces_of(shape: Any) -> Any:
    from OCP.TopAbs import TopAbs_FACE

    from workers.cad.brep.body import elements

    return compound(*elements(shape, TopAbs_FACE))


def ring(height: float) -> Any:
    """An edge around the whole cylinder."""
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge
    from OCP.gp import gp_Ax2, gp_Circ, gp_Dir, gp_Pnt

    return BRepBuilderAPI_MakeEdge(gp_Circ(gp_Ax2(gp_Pnt(0, 0, height), gp_Dir(0, 0, 1)), RADIUS)).Edge()


def rings_that_cancel() -> Any:
    """The side of a cylinder between two rings of one sense, without a seam: of no area, as the IGES reader makes some."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeWire
    from OCP.Geom import Geom_CylindricalSurface
    from OCP.gp import gp_Ax3
    from OCP.ShapeFix import ShapeFix_Edge
    from OCP.TopLoc import TopLoc_Location
    from OCP.TopoDS import TopoDS_Face

    face, builder = TopoDS_Face(), BRep_Builder()
    builder.MakeFace(face, Geom_CylindricalSurface(gp_Ax3(), RADIUS), TopLoc_Location(), 1e-7)
    for height in (0.0, HEIGHT):
        edge = ring(height)
        assert ShapeFix_Edge().FixAddPCurve(edge, face, False, 1e-7)
        builder.Add(face, BRepBuilderAPI_MakeWire(edge).Wire())
    return face


def disc(height: float) -> Any:
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeFace, BRepBuilderAPI_MakeWire

    return BRepBuilderAPI_MakeFace(BRepBuilderAPI_MakeWire(ring(height)).Wire()).Face()


def test_a_face_whose_rings_cancel_is_trimmed_anew_and_closes_its_body() -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    solids, area, volume = measured(compound(disc(0), disc(HEIGHT), rings_that_cancel()))
    assert (solids, area) == (1, pytest.approx(2 * math.pi * RADIUS * (RADIUS + HEIGHT), rel=1e-6))
    assert volume == pytest.approx(math.pi * RADIUS**2 * HEIGHT, rel=1e-6)


def block(x: float, y: float, z: float, width: float, depth: float, height: float) -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt

    return faces_of(BRepPrimAPI_MakeBox(gp_Pnt(x, y, z), width, depth, height).Shape())


@pytest.mark.parametrize(
    ("make", "solids", "volume"),
    [
        (lambda: (block(1, 1, 1, 4, 4, 4),), 1, 1000 - 64),
        (lambda: (block(0, 1, 1, 4, 4, 4),), 2, 1000 + 64),
        (lambda: (block(1, 1, 1, 8, 8, 8), block(2, 2, 2, 4, 4, 4)), 2, 1000 - 512 + 64),
        (lambda: (block(1, 1, 1, 8, 8, 8), block(1, 2, 2, 4, 4, 4)), 2, 1000 - 512 + 64),
        (lambda: (block(0, 1, 1, 8, 8, 8), block(2, 2, 2, 4, 4, 4)), 2, 1000 + 512 - 64),
        (lambda: (block(0, 0, 0, 10, 10, 4), block(0, 0, 4, 10, 10, 6)), 3, 2000),
    ],
    ids=["hollow", "touching within", "part in a cavity", "part on the wall of a cavity", "hollow part on a wall", "drawn once more whole"],
)
def test_a_shell_is_a_cavity_of_the_one_around_it_unless_they_touch(
    make: Callable[[], tuple[Any, ...]], solids: int, volume: float
) -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    found, _, measure = measured(compound(block(0, 0, 0, 10, 10, 10), *make()))
    assert (found, measure) == (solids, pytest.approx(volume, rel=1e-9))
