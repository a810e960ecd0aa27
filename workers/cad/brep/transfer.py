"""Files into shapes with Open CASCADE's readers. Import it only after `need_kernel`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OCP.IFSelect import IFSelect_RetDone
from OCP.IGESControl import IGESControl_Reader
from OCP.STEPControl import STEPControl_Reader

from foundation.errors import Failure
from tasks.vocabulary import Format
from workers.cad.brep.kernel import kernel_work
from workers.cad.shape import Finding, FindingCode

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
