"""Faces whose boundary was laid out wrong on a closed surface are trimmed anew. Import it only after `need_kernel`."""

from __future__ import annotations

from typing import Any

from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepBuilderAPI import BRepBuilderAPI_Sewing
from OCP.BRepCheck import BRepCheck_Analyzer
from OCP.BRepTools import BRepTools_ReShape
from OCP.collections import HSequence_TopoDS_Shape
from OCP.ShapeAnalysis import ShapeAnalysis_FreeBounds
from OCP.ShapeBuild import ShapeBuild_Edge
from OCP.ShapeFix import ShapeFix_Edge, ShapeFix_Face
from OCP.TopAbs import TopAbs_EDGE, TopAbs_FACE, TopAbs_FORWARD
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS, TopoDS_Face

from workers.cad.brep.body import elements

# below this nothing is told apart: what Open CASCADE calls its confusion
_LEAST = 1e-7


def trimmed(shape: Any, gap: float) -> Any:
    """The shape with those faces replaced that are invalid and become valid when their surface is trimmed anew.

    Only closed surfaces are looked at, for there a boundary has many layouts, a period apart, and the IGES reader now and then
    takes a wrong one: a ring that cancels another one, or an edge without extent that spans two turns.
    """
    repairs = BRepTools_ReShape()
    for face in map(TopoDS.Face, elements(shape, TopAbs_FACE)):
        surface = BRep_Tool.Surface_s(face)
        if not (surface.IsUPeriodic() or surface.IsVPeriodic()) or BRepCheck_Analyzer(face).IsValid():
            continue
        better = _anew(face, gap)
        if better is not None and BRepCheck_Analyzer(better).IsValid():
            repairs.Replace(face, better)
    return repairs.Apply(shape)


def _anew(face: Any, gap: float) -> Any | None:
    """The surface of a face, bounded by the curves in space that its edges have, without seams; these follow from the surface."""
    sewing = BRepBuilderAPI_Sewing(gap)  # two edges in one place become one, used twice: the seam
    sewing.Add(face)
    sewing.Perform()
    alone = elements(sewing.SewedShape(), TopAbs_FACE)
    if len(alone) != 1:
        return None
    old, new, builder, edges = TopoDS.Face(alone[0]), TopoDS_Face(), BRep_Builder(), HSequence_TopoDS_Shape()
    builder.MakeFace(new, BRep_Tool.Surface_s(old), TopLoc_Location(), _LEAST)
    for edge in map(TopoDS.Edge, elements(old, TopAbs_EDGE)):
        if BRep_Tool.Degenerated_s(edge) or BRep_Tool.IsClosed_s(edge, old):
            continue
        bare = TopoDS.Edge(ShapeBuild_Edge().Copy(edge, False).Oriented(TopAbs_FORWARD))
        ShapeBuild_Edge().RemovePCurve(bare, old)
        if not ShapeFix_Edge().FixAddPCurve(bare, new, False, gap):
            return None
        edges.Append(bare)
    wires = ShapeAnalysis_FreeBounds.ConnectEdgesToWires_s(edges, gap, True)
    for place in range(1, wires.Length() + 1):
        builder.Add(new, wires.Value(place))
    fixing = ShapeFix_Face(new)
    fixing.SetPrecision(gap)
    fixing.SetMinTolerance(_LEAST)
    fixing.SetMaxTolerance(gap)
    fixing.Perform()
    return fixing.Face()
