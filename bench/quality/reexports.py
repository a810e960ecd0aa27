"""STEP parts written anew by Open CASCADE: other formats, another pose, other meshes, another unit.

Import it only in a process that may die: some writers of this kernel end in a crash, and some meshes never end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from OCP.Bnd import Bnd_Box
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.gp import gp_Ax1, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec
from OCP.IFSelect import IFSelect_RetDone
from OCP.IGESControl import IGESControl_Writer
from OCP.STEPControl import STEPControl_AsIs, STEPControl_Reader, STEPControl_Writer
from OCP.StlAPI import StlAPI_Writer

from bench.quality.exports import INCH, NotApplicable
from workers.cad.brep.kernel import need_kernel

# largest distance of a mesh from its surface, as part of the diagonal, and largest turn between neighbours in radians
FINE, COARSE = (0.001, 0.15), (0.01, 0.8)
_FACES, _BREP = 0, 1  # IGES write modes: trimmed surfaces (144), solids (186)


def step_shape(path: Path) -> Any:
    """The whole shape of a STEP file, in mm. Raises NotApplicable."""
    need_kernel()
    reader = STEPControl_Reader()
    if reader.ReadFile(str(path)) != IFSelect_RetDone or not reader.TransferRoots():
        raise NotApplicable("Open CASCADE cannot read it")
    shape = reader.OneShape()
    if shape.IsNull():
        raise NotApplicable("Open CASCADE finds no shape")
    return shape


def _turned(shape: Any, name: str, target: Path) -> Path:
    """Turned about a random axis and moved by about its size, the same way for the same name."""
    dice = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    axis, angle = dice.normal(size=3), dice.uniform(0.3, 2.8)
    turn, move = gp_Trsf(), gp_Trsf()
    turn.SetRotation(gp_Ax1(gp_Pnt(0, 0, 0), gp_Dir(*axis.tolist())), float(angle))
    move.SetTranslation(gp_Vec(*(_diagonal(shape) * dice.uniform(-3, 3, size=3)).tolist()))
    return _step(BRepBuilderAPI_Transform(shape, move.Multiplied(turn), True).Shape(), target)


def _larger(shape: Any, target: Path) -> Path:
    """As if its millimetres had been taken for inches."""
    scale = gp_Trsf()
    scale.SetScaleFactor(INCH)
    return _step(BRepBuilderAPI_Transform(shape, scale, True).Shape(), target)


def _step(shape: Any, target: Path) -> Path:
    writer = STEPControl_Writer()
    written = target.with_suffix(".step")
    if writer.Transfer(shape, STEPControl_AsIs) != IFSelect_RetDone or writer.Write(str(written)) != IFSelect_RetDone:
        raise NotApplicable("Open CASCADE cannot write it as STEP")
    return written


def _iges(shape: Any, mode: int, target: Path) -> Path:
    writer = IGESControl_Writer("MM", mode)
    written = target.with_suffix(".igs")
    if not writer.AddShape(shape):
        raise NotApplicable("Open CASCADE cannot write it as IGES")
    writer.ComputeModel()
    if not writer.Write(str(written)):
        raise NotApplicable("Open CASCADE cannot write it as IGES")
    return written


def _stl(shape: Any, fineness: tuple[float, float], target: Path) -> Path:
    deviation, turn = fineness
    BRepTools.Clean_s(shape)  # a finer mesh would be kept
    BRepMesh_IncrementalMesh(shape, deviation * _diagonal(shape), False, turn, False)
    writer = StlAPI_Writer()
    writer.ASCIIMode = False
    written = target.with_suffix(".stl")
    if not writer.Write(shape, str(written)):
        raise NotApplicable("Open CASCADE cannot mesh it")
    return written


def _diagonal(shape: Any) -> float:
    box = Bnd_Box()
    BRepBndLib.Add_s(shape, box, False)
    low, high = box.CornerMin(), box.CornerMax()
    return float(low.Distance(high))


_Write = Callable[[Any, str, Path], Path]

# shape, name of the part, where to
WRITERS: Mapping[str, _Write] = {
    "STEP turned, moved": _turned,
    "STEP x 25.4": lambda shape, _, target: _larger(shape, target),
    "IGES solid": lambda shape, _, target: _iges(shape, _BREP, target),
    "IGES faces": lambda shape, _, target: _iges(shape, _FACES, target),
    "fine STL": lambda shape, _, target: _stl(shape, FINE, target),
    "coarse STL": lambda shape, _, target: _stl(shape, COARSE, target),
}
