"""Faces that only lie side by side become shells and solids. Import it only after `need_kernel`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeSolid, BRepBuilderAPI_Sewing
from OCP.BRepClass3d import BRepClass3d_SolidClassifier
from OCP.BRepLib import BRepLib
from OCP.collections import IndexedMap_TopoDS_Shape_TopTools_ShapeMapHasher as ShapeMap
from OCP.TopAbs import TopAbs_COMPOUND, TopAbs_FACE, TopAbs_IN, TopAbs_ON, TopAbs_SHELL, TopAbs_SOLID, TopAbs_VERTEX
from OCP.TopExp import TopExp
from OCP.TopoDS import TopoDS, TopoDS_Compound, TopoDS_Iterator, TopoDS_Shell, TopoDS_Solid

from workers.cad.brep.body import box_of, diagonal, elements
from workers.cad.brep.kernel import kernel_work
from workers.cad.brep.transfer import Transfer
from workers.cad.brep.trimming import trimmed
from workers.cad.shape import Finding, FindingCode

# gaps up to this part of the diagonal are closed when loose faces are sewn; ten times more closes nothing more in real files
_GAP = 1e-5


def sewn(shape: Any) -> Transfer:
    """Loose faces joined along their common edges; shells that close become solids, and those within others their cavities.

    Each group of the file is sewn by itself first, so that bodies that touch stay apart; what does not close, together.
    Nothing is done where there is a solid already. Raises `Failure` GEOMETRY_INVALID.
    """
    faces = elements(shape, TopAbs_FACE)
    if not faces or elements(shape, TopAbs_SOLID):
        return Transfer(shape, ())
    with kernel_work("GEOMETRY_INVALID", "sewed the faces"):
        gap = _GAP * diagonal(shape)
        closed: list[Any] = []
        rest: list[Any] = []
        groups = list(_groups(trimmed(shape, gap)))
        for group in groups:
            _sort(_joined(group, gap), closed, rest)
        if len(groups) > 1 and rest:
            again, rest = rest, []
            _sort(_joined(again, gap), closed, rest)
        whole, builder = TopoDS_Compound(), BRep_Builder()
        builder.MakeCompound(whole)
        for part in (*_solids(closed, gap), *rest):
            builder.Add(whole, part)
    lost = max(len(faces) - len(elements(whole, TopAbs_FACE)), 0)
    return Transfer(whole, (Finding.of(FindingCode.FACES_MISSING, lost),) if lost else ())


def _groups(shape: Any) -> Iterator[list[Any]]:
    """Shells, and the faces that stand together in one compound."""
    if shape.ShapeType() in (TopAbs_FACE, TopAbs_SHELL):
        yield [shape]
        return
    loose, children = [], TopoDS_Iterator(shape)
    while children.More():
        child = children.Value()
        if child.ShapeType() == TopAbs_FACE:
            loose.append(child)
        elif child.ShapeType() in (TopAbs_COMPOUND, TopAbs_SHELL):
            yield from _groups(child)
        children.Next()
    if loose:
        yield loose


def _joined(group: Iterable[Any], gap: float) -> list[Any]:
    """Shells, and faces that joined nothing."""
    sewing = BRepBuilderAPI_Sewing(gap)
    for part in group:
        sewing.Add(part)
    sewing.Perform()
    result = sewing.SewedShape()
    if result.IsNull():
        return list(group)
    shells = elements(result, TopAbs_SHELL)
    covered = ShapeMap()
    for shell in shells:
        TopExp.MapShapes_s(shell, TopAbs_FACE, covered)
    return [*map(TopoDS.Shell, shells), *(_alone(face) for face in elements(result, TopAbs_FACE) if not covered.Contains(face))]


def _alone(face: Any) -> Any:
    """A shell of one face if it closes in itself, as a sphere does, else the face."""
    shell, builder = TopoDS_Shell(), BRep_Builder()
    builder.MakeShell(shell)
    builder.Add(shell, face)
    return shell if BRep_Tool.IsClosed_s(shell) else face


def _sort(parts: Iterable[Any], closed: list[Any], rest: list[Any]) -> None:
    for part in parts:
        (closed if part.ShapeType() == TopAbs_SHELL and BRep_Tool.IsClosed_s(part) else rest).append(part)


def _solids(shells: list[Any], gap: float) -> list[Any]:
    """Solids that face outwards. A shell within another one is a cavity of the innermost of these, unless that is a cavity itself
    or both touch: a cavity is full of nothing, and no wall of nothing lies between it and what is outside.
    """
    solids = [_outward(shell) for shell in shells]
    boxes = np.array([box_of(shell) for shell in shells]).reshape(-1, 2, 3)
    around: list[dict[int, bool]] = []  # of each shell: those it lies within, and whether it touches them
    for at, (low, high) in enumerate(boxes):
        larger = (boxes[:, 0] <= low).all(axis=1) & (boxes[:, 1] >= high).all(axis=1) & (boxes != boxes[at]).any(axis=(1, 2))
        places = {int(other): _within(shells[at], solids[other], gap) for other in np.flatnonzero(larger)}
        around.append({other: touches for other, (inside, touches) in places.items() if inside})
    cavities: set[int] = set()
    builder = BRep_Builder()
    for at in sorted(range(len(shells)), key=lambda at: len(around[at])):
        host = max(around[at], key=lambda other: len(around[other]), default=None)
        if host is not None and host not in cavities and not around[at][host]:
            cavities.add(at)
            builder.Add(solids[host], elements(solids[at], TopAbs_SHELL)[0].Reversed())
    return [solid for at, solid in enumerate(solids) if at not in cavities]


def _outward(shell: Any) -> Any:
    solid = BRepBuilderAPI_MakeSolid(shell).Solid()
    BRepLib.OrientClosedSolid_s(solid)
    return solid


def _within(shell: Any, solid: TopoDS_Solid, gap: float) -> tuple[bool, bool]:
    """Whether the shell lies inside the solid, and whether it touches its border. Shells do not cross, so any vertex off the border
    tells the first; the second is told by vertices alone.
    """
    classifier = BRepClass3d_SolidClassifier(solid)
    inside = touches = False
    for vertex in elements(shell, TopAbs_VERTEX):
        classifier.Perform(BRep_Tool.Pnt_s(TopoDS.Vertex(vertex)), gap)
        if classifier.State() == TopAbs_ON:
            touches = True
        elif classifier.State() == TopAbs_IN:
            inside = True
        else:
            return False, touches
        if inside and touches:
            break
    return inside, touches
