"""From a boundary representation to a mesh and to what is exactly known of it. Import it only after `need_kernel`."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from OCP.Bnd import Bnd_Box
from OCP.BRep import BRep_Tool
from OCP.BRepAdaptor import BRepAdaptor_Curve, BRepAdaptor_Surface
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepGProp import BRepGProp
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.collections import IndexedMap_TopoDS_Shape_TopTools_ShapeMapHasher as ShapeMap
from OCP.GeomAbs import GeomAbs_CurveType, GeomAbs_SurfaceType
from OCP.gp import gp_Trsf, gp_Vec
from OCP.GProp import GProp_GProps
from OCP.Standard import Standard_NullObject
from OCP.StlAPI import StlAPI_Writer
from OCP.TopAbs import TopAbs_EDGE, TopAbs_FACE, TopAbs_SHELL, TopAbs_SOLID, TopAbs_VERTEX
from OCP.TopExp import TopExp
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from workers.cad.brep.kernel import kernel_work
from workers.cad.brep.measured import NEAR, Body
from workers.cad.shape import LARGEST, Finding, FindingCode, Floats, Mesh
from workers.cad.stl import binary_corners, has_area, weld

# deviation of the mesh from the true surface: parts of the box's diagonal, and radians between neighbours
_DEVIATION, _TURN = 0.002, 0.2
# surfaces and curves whose extent has a formula
_ELEMENTARY = {"plane", "cylinder", "cone", "sphere", "line", "circle", "ellipse"}


def body_of(shape: Any, limits: CadSettings) -> Body:
    """Mesh and properties of a TopoDS_Shape. Raises `Failure` GEOMETRY_MISSING, GEOMETRY_INVALID, CAD_LIMIT."""
    faces = [TopoDS.Face(face) for face in elements(shape, TopAbs_FACE)]
    if not faces:
        raise Failure("GEOMETRY_MISSING", {"faces": 0, "edges": _map(shape, TopAbs_EDGE).Extent()})
    with kernel_work("GEOMETRY_INVALID", "measured the shape"):
        box = box_of(shape)
        types = _surfaces(faces)
        facts = {**_counts(shape), "faces": types, **_masses(shape)}
    with kernel_work("GEOMETRY_INVALID", "meshed the shape"):
        mesh, missing = _mesh(shape, box, faces, limits)
        exact = types.keys() <= _ELEMENTARY and facts["edges"].keys() <= _ELEMENTARY
        box = box_of(shape, "exact" if exact else "mesh")
    facts["triangles"] = len(mesh.triangles)
    findings = (Finding.of(FindingCode.FACES_MISSING, missing),) if missing else ()
    return Body(mesh, box, types, facts, findings)


def elements(shape: Any, kind: Any) -> list[Any]:
    """Faces, edges ... of a shape; those that several others share once."""
    found = _map(shape, kind)
    return [found(number) for number in range(1, found.Extent() + 1)]


def _map(shape: Any, kind: Any) -> Any:
    found = ShapeMap()
    TopExp.MapShapes_s(shape, kind, found)
    return found


def diagonal(shape: Any) -> float:
    low, high = box_of(shape).tolist()
    return math.dist(low, high)


def _named(kinds: Any) -> dict[int, str]:
    """`plane`, `bspline` ...: the kernel's own names of kinds of surfaces or curves. To ask an enum of it for its name is slow."""
    names = {int(kind): name.removeprefix("GeomAbs_") for name, kind in kinds.__members__.items()}
    short = {"BSplineSurface": "bspline", "BSplineCurve": "bspline", "BezierSurface": "bezier", "BezierCurve": "bezier",
             "SurfaceOfRevolution": "revolution", "SurfaceOfExtrusion": "extrusion", "OffsetSurface": "offset", "OffsetCurve": "offset",
             "OtherSurface": "other", "OtherCurve": "other"}  # fmt: skip
    return {kind: short.get(name, name.lower()) for kind, name in names.items()}


_SURFACES, _CURVES = _named(GeomAbs_SurfaceType), _named(GeomAbs_CurveType)


def _kinds(kinds: list[int], names: Mapping[int, str]) -> dict[str, int]:
    return {names[kind]: count for kind, count in Counter(kinds).items()}


def _surfaces(faces: list[Any]) -> dict[str, int]:
    """Faces by kind of surface."""
    adaptor, kinds = BRepAdaptor_Surface(), []
    for face in faces:
        adaptor.Initialize(face, False)
        kinds.append(int(adaptor.GetType()))
    return _kinds(kinds, _SURFACES)


def _curves(shape: Any) -> dict[str, int]:
    """Edges by kind of curve; those without one, as at the poles of a sphere, are none."""
    adaptor, kinds = BRepAdaptor_Curve(), []
    for edge in map(TopoDS.Edge, elements(shape, TopAbs_EDGE)):
        if not BRep_Tool.Degenerated_s(edge):
            try:
                adaptor.Initialize(edge)
            except Standard_NullObject:
                continue
            kinds.append(int(adaptor.GetType()))
    return _kinds(kinds, _CURVES)


def _counts(shape: Any) -> dict[str, Any]:
    shells = elements(shape, TopAbs_SHELL)
    return {
        "solids": _map(shape, TopAbs_SOLID).Extent(),
        "shells": len(shells),
        "closed": bool(shells) and all(BRep_Tool.IsClosed_s(shell) for shell in shells),
        "edges": _curves(shape),
        "vertices": _map(shape, TopAbs_VERTEX).Extent(),
    }


def _masses(shape: Any) -> dict[str, float]:
    """Exact area, and volume of what is closed."""
    surface, solid = GProp_GProps(), GProp_GProps()
    BRepGProp.SurfaceProperties_s(shape, surface)
    BRepGProp.VolumeProperties_s(shape, solid, True)
    area, volume = float(surface.Mass()), abs(float(solid.Mass()))
    if not (0 <= area <= LARGEST**2 and volume <= LARGEST**3):  # the comparisons are false for NaN as well
        raise Failure("GEOMETRY_INVALID", {"reason": "area or volume is not finite or absurdly large"})
    return {"area": area, "volume": volume}


def box_of(shape: Any, way: Literal["rough", "exact", "mesh"] = "rough") -> Floats:
    """Lowest and highest corner. Rough: around control points. Exact: slow for free-form shapes. Mesh: needs one, and costs nothing."""
    box = Bnd_Box()
    if way == "rough":
        BRepBndLib.Add_s(shape, box, False)
    else:
        BRepBndLib.AddOptimal_s(shape, box, way == "mesh", False)
    if box.IsVoid() or box.IsWhole() or box.IsOpen():
        raise Failure("GEOMETRY_INVALID", {"reason": "the shape has no finite extent"})
    box.SetGap(0.0)
    low, high = box.CornerMin(), box.CornerMax()
    corners = low.X(), low.Y(), low.Z(), high.X(), high.Y(), high.Z()
    if not all(abs(number) <= LARGEST for number in corners):
        raise Failure("GEOMETRY_INVALID", {"reason": "coordinates are not finite or absurdly large"})
    return np.array(corners).reshape(2, 3)


def _mesh(shape: Any, box: Floats, faces: list[Any], limits: CadSettings) -> tuple[Mesh, int]:
    """The welded mesh, and how many faces could not be meshed."""
    extent = math.dist(*box.tolist())
    if not extent > 0:
        raise Failure("GEOMETRY_INVALID", {"reason": "the shape has no extent"})
    # never in parallel: a forked child of a process that did would hang for ever
    BRepMesh_IncrementalMesh(shape, _DEVIATION * extent, False, _TURN, False)
    # as STL through memory: node by node takes longer than meshing. Its floats are single, so the middle goes to the origin first
    middle = (box[0] + box[1]) / 2
    move = gp_Trsf()
    move.SetTranslation(gp_Vec(*(-middle).tolist()))
    stream, writer = io.BytesIO(), StlAPI_Writer()
    writer.ASCIIMode = False
    # nothing at all is written where there is no triangle
    if not writer.Write(shape.Moved(TopLoc_Location(move)), stream):
        raise Failure("GEOMETRY_INVALID", {"reason": "no face could be meshed", "faces": len(faces)})
    corners = binary_corners(stream.getbuffer())
    if len(corners) > limits.max_triangles:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_TRIANGLES", "allowed": limits.max_triangles, "found": len(corners)})
    # nodes follow the curves of the edges, which may leave the box by any distance; the comparison is false for NaN as well
    if not (np.abs(corners) <= LARGEST * extent).all():
        raise Failure("GEOMETRY_INVALID", {"reason": "the mesh leaves the box of its shape by far", "triangles": len(corners)})
    # the nodes of neighbouring faces differ by rounding now and then
    mesh, _ = weld(corners, NEAR * extent)
    mesh = Mesh(mesh.vertices + middle, mesh.triangles)
    # welded and in its place: far from the origin, or in a box far too large, nothing may be left of it
    if not has_area(mesh):
        raise Failure("GEOMETRY_INVALID", {"reason": "the mesh has no finite area", "triangles": len(corners)})
    # one question for the whole shape is nearly always enough
    whole = BRepTools.Triangulation_s(shape, np.inf, False)
    return mesh, 0 if whole else sum(BRep_Tool.Triangulation_s(face, TopLoc_Location()) is None for face in faces)
