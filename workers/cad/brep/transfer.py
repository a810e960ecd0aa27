"""Files into shapes with Open CASCADE's readers. Import it only after `need_kernel`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeSolid, BRepBuilderAPI_Sewing
from OCP.BRepLib import BRepLib
from OCP.collections import IndexedMap_TopoDS_Shape_TopTools_ShapeMapHasher as ShapeMap
from OCP.IFSelect import IFSelect_RetDone
from OCP.IGESControl import IGESControl_Reader
from OCP.STEPControl import STEPControl_Reader
from OCP.TopAbs import TopAbs_FACE, TopAbs_SHELL, TopAbs_SOLID
from OCP.TopExp import TopExp
from OCP.TopoDS import TopoDS, TopoDS_Compound

from foundation.errors import Failure
from tasks.vocabulary import Format
from workers.cad.brep.body import diagonal, elements
from workers.cad.brep.kernel import kernel_work
from workers.cad.shape import Finding, FindingCode

# gaps up to this part of the diagonal are closed when loose faces are sewn; ten times more closes nothing more in real files
_GAP = 1e-5
# entities whose parts are followed without a look when the shape is built, and the one thing that may be wrong with them
_FOLLOWED, _HARMLESS = ("StepGeom_", "StepShape_", "StepRepr_"), "not a quoted String"


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """A shape, and what the kernel could not make part of it."""

    shape: Any  # TopoDS_Shape
    findings: tuple[Finding, ...]


def read_step_shape(data: bytes) -> Transfer:
    """The whole shape of the text of a STEP file, in millimetres. Raises `Failure` FILE_CORRUPT, GEOMETRY_MISSING."""
    reader = STEPControl_Reader()
    with kernel_work("FILE_CORRUPT", "read the file"):
        # from memory: what was checked is what is read
        status = reader.ReadStream("part", io.BytesIO(data))
    return _transferred(reader, status, Format.STEP)


def read_iges_shape(path: Path) -> Transfer:
    """The whole shape of an IGES file, in millimetres. Raises `Failure` FILE_CORRUPT, GEOMETRY_MISSING."""
    reader = IGESControl_Reader()
    with kernel_work("FILE_CORRUPT", "read the file"):
        status = reader.ReadFile(str(path))
    return _transferred(reader, status, Format.IGES)


def _transferred(reader: Any, status: Any, fmt: Format) -> Transfer:
    if status != IFSelect_RetDone:
        raise Failure("FILE_CORRUPT", {"format": fmt.value, "reason": "the geometry kernel cannot read it"})
    with kernel_work("FILE_CORRUPT", "built the shape"):
        rejected, deadly = _failures(reader.WS().ModelCheckList(False))
        if deadly:
            raise Failure(
                "FILE_CORRUPT",
                {"format": fmt.value, "reason": "geometry refers to what is not there or not of its kind", "entities": deadly},
            )
        roots = reader.NbRootsForTransfer()
        rejected = max(rejected, roots - reader.TransferRoots())
        rejected += _failures(reader.WS().TransferReader().LastCheckList())[0]
        shape = reader.OneShape()
    if shape.IsNull() and rejected:
        raise Failure("FILE_CORRUPT", {"format": fmt.value, "reason": "nothing sound is left of the shape", "entities": rejected})
    if shape.IsNull():
        raise Failure("GEOMETRY_MISSING", {"faces": 0})
    return Transfer(shape, (Finding.of(FindingCode.ENTITIES_INVALID, rejected),) if rejected else ())


def sewn(shape: Any) -> Transfer:
    """Faces that only lie side by side, joined along their common edges; shells that close become solids that face outwards.

    Cavities would come out as solids of their own: loose faces do not say which side of them is full.
    """
    faces = elements(shape, TopAbs_FACE)
    if not faces or elements(shape, TopAbs_SOLID):
        return Transfer(shape, ())
    with kernel_work("GEOMETRY_INVALID", "sewed the faces"):
        sewing = BRepBuilderAPI_Sewing(_GAP * diagonal(shape))
        sewing.Add(shape)
        sewing.Perform()
        whole, builder = TopoDS_Compound(), BRep_Builder()
        builder.MakeCompound(whole)
        result = sewing.SewedShape()
        if result.IsNull():
            return Transfer(shape, ())
        in_shells = ShapeMap()
        for shell in map(TopoDS.Shell, elements(result, TopAbs_SHELL)):
            TopExp.MapShapes_s(shell, TopAbs_FACE, in_shells)
            builder.Add(whole, _outward(shell) if BRep_Tool.IsClosed_s(shell) else shell)
        for face in elements(result, TopAbs_FACE):
            if not in_shells.Contains(face):
                builder.Add(whole, face)
    lost = max(len(faces) - len(elements(whole, TopAbs_FACE)), 0)
    return Transfer(whole, (Finding.of(FindingCode.FACES_MISSING, lost),) if lost else ())


def _outward(shell: Any) -> Any:
    solid = BRepBuilderAPI_MakeSolid(shell).Solid()
    BRepLib.OrientClosedSolid_s(solid)
    return solid


def _failures(checks: Any) -> tuple[int, int]:
    """How many entities the kernel's list of checks calls failed, and how many of these would kill it.

    A null where geometry or topology of STEP should be is followed when the shape is built. A name that is none is harmless, and
    so are styles and views.
    """
    failed = deadly = 0
    checks.Start()
    while checks.More():
        check, entity = checks.Value(), checks.Value().Entity()
        if check.HasFailed():
            failed += 1
            reasons = [str(check.CFail(number)) for number in range(1, check.NbFails() + 1)]
            geometric = entity is not None and str(entity.DynamicType().Name()).startswith(_FOLLOWED)
            deadly += geometric and any(_HARMLESS not in reason for reason in reasons)
        checks.Next()
    return failed, deadly
