"""One small part through all of the kernel's work. Import it only after `need_kernel`.

What a library does only once (binding its functions, building its tables) takes longer than reading a small file. A process that
rehearses before it forks does it for all of its children; no thread is started.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
from OCP.IGESControl import IGESControl_Writer
from OCP.STEPControl import STEPControl_StepModelType, STEPControl_Writer

from foundation.engine_settings import CadSettings
from workers.cad.brep.body import body_of
from workers.cad.brep.sewing import sewn
from workers.cad.brep.transfer import read_iges_shape, read_step_shape


def rehearse() -> None:
    """Write a cylinder as STEP and as IGES, read both, sew and measure them. Raises `Failure` as these do."""
    part = BRepPrimAPI_MakeCylinder(1.0, 1.0).Shape()
    for read in (_step, _iges):
        body_of(sewn(read(part)).shape, CadSettings())


def _step(part: Any) -> Any:
    writer, stream = STEPControl_Writer(), io.BytesIO()
    writer.Transfer(part, STEPControl_StepModelType.STEPControl_AsIs)
    writer.WriteStream(stream)
    return read_step_shape(stream.getvalue()).shape


def _iges(part: Any) -> Any:
    writer = IGESControl_Writer()
    writer.AddShape(part)
    handle = os.memfd_create("rehearsal")  # the kernel wants a name
    try:
        path = Path(f"/proc/self/fd/{handle}")
        writer.Write(str(path))
        return read_iges_shape(path).shape
    finally:
        os.close(handle)
