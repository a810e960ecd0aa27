"""One part, written by Open CASCADE in other formats and poses: the slots that tell whether two parts are one must agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.vocabulary import Family
from tests.stack import SAMPLES
from tests.workers.cad.child import answers
from tests.workers.cad.kernel_here import needs_kernel
from workers.features.scaling import scaled, stable_slots

pytestmark = needs_kernel

STABLE = list(stable_slots(Family.SOLID))


def bracket() -> Any:
    """An angle with a bore, a round and a chamfered foot."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut, BRepAlgoAPI_Fuse
    from OCP.BRepFilletAPI import BRepFilletAPI_MakeFillet
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder
    from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt
    from OCP.TopAbs import TopAbs_EDGE
    from OCP.TopoDS import TopoDS

    from workers.cad.brep.body import elements

    foot = BRepPrimAPI_MakeBox(60, 40, 8).Shape()
    wall = BRepPrimAPI_MakeBox(8, 40, 50).Shape()
    angle = BRepAlgoAPI_Fuse(foot, wall).Shape()
    bore = BRepPrimAPI_MakeCylinder(gp_Ax2(gp_Pnt(40, 20, -5), gp_Dir(0, 0, 1)), 9, 20).Shape()
    drilled = BRepAlgoAPI_Cut(angle, bore).Shape()
    rounded = BRepFilletAPI_MakeFillet(drilled)
    rounded.Add(3, TopoDS.Edge(elements(drilled, TopAbs_EDGE)[0]))
    return rounded.Shape()


def turned_part() -> Any:
    """A shaft of a cylinder, a cone, a ball and a ring: every elementary surface."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Fuse
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCone, BRepPrimAPI_MakeCylinder, BRepPrimAPI_MakeSphere, BRepPrimAPI_MakeTorus
    from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt

    up = gp_Dir(0, 0, 1)
    shape = BRepPrimAPI_MakeCylinder(gp_Ax2(gp_Pnt(0, 0, 0), up), 10, 40).Shape()
    for piece in (
        BRepPrimAPI_MakeCone(gp_Ax2(gp_Pnt(0, 0, 40), up), 10, 5, 15).Shape(),
        BRepPrimAPI_MakeSphere(gp_Pnt(0, 0, 58), 7).Shape(),
        BRepPrimAPI_MakeTorus(gp_Ax2(gp_Pnt(0, 0, 20), up), 11, 3).Shape(),
    ):
        shape = BRepAlgoAPI_Fuse(shape, piece).Shape()
    return shape


def moved(shape: Any) -> Any:
    from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
    from OCP.gp import gp_Ax1, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec

    turn, shift = gp_Trsf(), gp_Trsf()
    turn.SetRotation(gp_Ax1(gp_Pnt(1, 2, 3), gp_Dir(1, 2, -1)), 0.83)
    shift.SetTranslation(gp_Vec(310, -120, 77))
    return BRepBuilderAPI_Transform(shape, shift.Multiplied(turn), True).Shape()


def written(shape: Any, folder: Path) -> dict[str, Path]:
    from OCP.BRepMesh import BRepMesh_IncrementalMesh
    from OCP.IGESControl import IGESControl_Writer
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer
    from OCP.StlAPI import StlAPI_Writer

    def step(what: Any, path: Path) -> Path:
        writer = STEPControl_Writer()
        writer.Transfer(what, STEPControl_AsIs)
        writer.Write(str(path))
        return path

    def iges(what: Any, mode: int, path: Path) -> Path:
        writer = IGESControl_Writer("MM", mode)
        writer.AddShape(what)
        writer.ComputeModel()
        writer.Write(str(path))
        return path

    def stl(what: Any, path: Path) -> Path:
        BRepMesh_IncrementalMesh(what, 0.02, False, 0.1, False)
        StlAPI_Writer().Write(what, str(path))
        return path

    other = moved(shape)
    return {
        "step": step(shape, folder / "a.step"),
        "step moved": step(other, folder / "b.step"),
        "iges solid": iges(shape, 1, folder / "c.igs"),
        "iges faces": iges(shape, 0, folder / "d.igs"),
        "iges faces moved": iges(other, 0, folder / "e.igs"),
        "stl": stl(other, folder / "f.stl"),
    }


def hollow_part() -> Any:
    """A block with a ball cut out of its inside."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeSphere
    from OCP.gp import gp_Pnt

    return BRepAlgoAPI_Cut(BRepPrimAPI_MakeBox(40, 30, 30).Shape(), BRepPrimAPI_MakeSphere(gp_Pnt(15, 15, 15), 9).Shape()).Shape()


def touching_parts() -> Any:
    """Two blocks that share half of a side."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt
    from OCP.TopoDS import TopoDS_Compound

    both, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(both)
    builder.Add(both, BRepPrimAPI_MakeBox(20, 10, 10).Shape())
    builder.Add(both, BRepPrimAPI_MakeBox(gp_Pnt(20, 0, 5), 15, 10, 10).Shape())
    return both


def loose(shape: Any) -> Any:
    """The faces of a shape without the body they bound."""
    from OCP.BRep import BRep_Builder
    from OCP.TopAbs import TopAbs_FACE
    from OCP.TopoDS import TopoDS_Compound

    from workers.cad.brep.body import elements

    faces, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(faces)
    for face in elements(shape, TopAbs_FACE):
        builder.Add(faces, face)
    return faces


@pytest.mark.parametrize(
    ("make", "solids", "volume"),
    [(hollow_part, 1, 36_000 - 4 / 3 * math.pi * 9**3), (touching_parts, 2, 3500.0)],
    ids=["hollow", "touching"],
)
def test_loose_faces_bound_the_body_they_were_taken_from(tmp_path: Path, make: Any, solids: int, volume: float) -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    files = written(make(), tmp_path)
    told = {name: one["result"]["facts"] for name, one in zip(files, answers(list(files.values())), strict=True)}
    for name in ("step", "iges solid", "iges faces", "iges faces moved"):
        assert told[name]["volume"] == pytest.approx(volume, rel=1e-5), name
        assert (told[name]["solids"], told[name]["closed"]) == (solids, True), name


def test_a_surface_model_is_sewn_in_step_as_in_iges(tmp_path: Path) -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    files = written(loose(bracket()), tmp_path)
    body, *others = (one["result"]["facts"] for one in answers([files["step"], files["step moved"], files["iges faces"]]))
    assert (body["solids"], body["closed"]) == (1, True)
    for one in others:
        assert (one["solids"], one["volume"]) == (1, pytest.approx(body["volume"], rel=1e-6))


@pytest.mark.parametrize("make", [bracket, turned_part])
def test_one_part_keeps_its_stable_slots_in_every_format_and_pose(tmp_path: Path, make: Any) -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    files = written(make(), tmp_path)
    told = answers(list(files.values()))
    assert [answer["code"] for answer in told] == ["OK"] * len(files)
    table = scaled(np.array([answer["result"]["vector"] for answer in told]), Family.SOLID)
    drift = {name: float(np.abs(row - table[0])[STABLE].max()) for name, row in zip(files, table, strict=True)}
    print(drift)
    assert max(drift["step moved"], drift["iges solid"]) < 0.01, drift
    assert max(drift.values()) < 0.02, drift
    results = {name: answer["result"] for name, answer in zip(files, told, strict=True)}
    exact = results["step"]["facts"]
    for name in ("step moved", "iges solid", "iges faces", "iges faces moved"):
        facts = results[name]["facts"]
        assert facts["area"] == pytest.approx(exact["area"], rel=1e-5), name
        assert facts["volume"] == pytest.approx(exact["volume"], rel=1e-5), name
        assert (facts["solids"], facts["closed"], facts["watertight"]) == (1, True, True), name
    assert results["step moved"]["surface_count"] == results["step"]["surface_count"]
    assert results["step moved"]["shape_entropy"] == results["step"]["shape_entropy"]


def test_published_samples_have_the_faces_that_independent_readers_found_and_one_pipe_is_one_part() -> None:
    samples = [SAMPLES / name for name in ("step/6-6-6-13-13-23.step", "step/0-0-0-6-19.step", "iges/root.iges", "iges/test_pipe.iges")]
    told = answers([*samples, SAMPLES / "iges" / "test_pipe.igs"])
    assert [one["code"] for one in told] == ["OK"] * 5
    assert [one["result"]["surface_count"] for one in told] == [8, 9, 1, 4, 6]
    assert [one["result"]["facts"]["closed"] for one in told] == [True, True, False, True, True]
    pipe, other = (scaled(np.array(one["result"]["vector"]), Family.SOLID)[STABLE] for one in told[3:])
    assert np.linalg.norm(pipe - other) < 0.01
