"""STEP solids of elementary surfaces without the kernel: exact values, agreement with the kernel, and what is left to it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.reading import DATA, rows
from bench.step import differences
from foundation.engine_settings import CadSettings
from tests.stack import SAMPLES
from tests.workers.cad.child import answers
from tests.workers.cad.kernel_here import needs_kernel
from tests.workers.cad.test_one_part_in_many_forms import bracket, hollow_part, turned_part
from tests.workers.features.test_every_known_file import pytestmark as needs_data
from workers.cad.analytic.body import analytic_body
from workers.cad.analytic.instances import NotCovered
from workers.cad.brep.measured import Body
from workers.cad.brep.step_text import checked

LIMITS = CadSettings()
ALWAYS = "import os; os.environ['CADMILL_CAD_STEP_KERNEL'] = 'always'"
WITHOUT = "import sys; sys.modules['OCP'] = None"
Make = Callable[[], Any]


def box() -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox

    return BRepPrimAPI_MakeBox(10, 20, 30).Shape()


def cylinder() -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder

    return BRepPrimAPI_MakeCylinder(5, 20).Shape()


def cone() -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCone

    return BRepPrimAPI_MakeCone(6, 0, 8).Shape()


def dome() -> Any:
    """Half a ball: its border touches a pole."""
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeSphere

    return BRepPrimAPI_MakeSphere(7, 0, math.pi / 2).Shape()


def ring() -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeTorus

    return BRepPrimAPI_MakeTorus(10, 3).Shape()


def corner() -> Any:
    """An eighth of a ball."""
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeSphere

    return BRepPrimAPI_MakeSphere(6, 0, math.pi / 2, math.pi / 2).Shape()


def pair() -> Any:
    """One washer twice, the second one turned and moved."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
    from OCP.gp import gp_Ax1, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec
    from OCP.TopLoc import TopLoc_Location
    from OCP.TopoDS import TopoDS_Compound

    washer = BRepAlgoAPI_Cut(BRepPrimAPI_MakeCylinder(6, 2).Shape(), BRepPrimAPI_MakeCylinder(3, 2).Shape()).Shape()
    turn, shift = gp_Trsf(), gp_Trsf()
    turn.SetRotation(gp_Ax1(gp_Pnt(0, 0, 0), gp_Dir(1, 1, 0)), 0.7)
    shift.SetTranslation(gp_Vec(40, -3, 5))
    both, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(both)
    builder.Add(both, washer)
    builder.Add(both, washer.Moved(TopLoc_Location(shift.Multiplied(turn))))
    return both


def written(shape: Any, path: Path, assembly: bool = False) -> str:
    from OCP.Interface import Interface_Static
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    writer = STEPControl_Writer()
    Interface_Static.SetIVal_s("write.step.assembly", int(assembly))
    try:
        writer.Transfer(shape, STEPControl_AsIs)
        writer.Write(str(path))
    finally:
        Interface_Static.SetIVal_s("write.step.assembly", 0)
    return path.read_text()


def body(text: str) -> Body:
    return analytic_body(checked(text.encode(), LIMITS), LIMITS)


def reason(text: str) -> str:
    with pytest.raises(NotCovered) as caught:
        body(text)
    return str(caught.value)


@needs_kernel
@pytest.mark.parametrize(
    ("make", "area", "volume", "low", "high"),
    [
        (box, 2200, 6000, (0, 0, 0), (10, 20, 30)),
        (cylinder, 2 * math.pi * 5 * 25, math.pi * 500, (-5, -5, 0), (5, 5, 20)),
        (cone, math.pi * 6 * 16, math.pi * 96, (-6, -6, 0), (6, 6, 8)),
        (dome, 3 * math.pi * 49, 2 / 3 * math.pi * 343, (-7, -7, 0), (7, 7, 7)),
        (ring, 4 * math.pi**2 * 30, 2 * math.pi**2 * 90, (-13, -13, -3), (13, 13, 3)),
        (corner, math.pi * 18 + 3 * math.pi * 9, math.pi * 36, (0, 0, 0), (6, 6, 6)),
    ],
    ids=["box", "cylinder", "cone", "dome", "ring", "corner"],
)
def test_area_volume_and_box_are_exact(tmp_path: Path, make: Make, area: float, volume: float, low: Any, high: Any) -> None:
    found = body(written(make(), tmp_path / "a.step"))
    assert found.facts["area"] == pytest.approx(area, rel=1e-9)
    assert found.facts["volume"] == pytest.approx(volume, rel=1e-9)
    # of a ring the box is that of its mesh
    near = 2e-3 if make is ring else 1e-9
    assert found.box[0].tolist() == pytest.approx(low, abs=near * 13)
    assert found.box[1].tolist() == pytest.approx(high, abs=near * 13)


@needs_kernel
def test_both_ways_tell_the_same_of_made_parts(tmp_path: Path) -> None:
    makers = {"bracket": bracket, "turned": turned_part, "dome": dome, "cone": cone, "pair": pair}
    for name, make in makers.items():
        written(make(), tmp_path / f"{name}.step", assembly=name == "pair")
    paths = [tmp_path / f"{name}.step" for name in makers]
    for path, own, kernel in zip(paths, answers(paths), answers(paths, before=ALWAYS), strict=True):
        assert (own["result"]["facts"]["reader"], kernel["result"]["facts"]["reader"]) == ("analytic", "opencascade"), path.name
        assert differences(own["result"], kernel["result"]) == [], path.name


@needs_kernel
def test_what_is_not_understood_is_left_to_the_kernel(tmp_path: Path) -> None:
    text = written(cylinder(), tmp_path / "a.step")
    assert "BREP_WITH_VOIDS" in reason(written(hollow_part(), tmp_path / "b.step"))
    assert reason(text.replace("CYLINDRICAL_SURFACE", "OFFSET_SURFACE")) == "a face on an odd surface"
    assert reason(re.sub(r"= CIRCLE\(", "= CLOTHOID(", text)) == "an edge on an odd curve"
    assert reason(text.replace("END-ISO-10303-21;", "")) == "a text that breaks off"
    assert reason(re.sub(r"(= PCURVE\([^;]*)#\d+\)", r"\g<1>#99999)", text)) == "geometry that refers to nothing"
    assert reason(text.replace(".RADIAN.", ".STERADIAN.")) == "a context without its units"


@needs_kernel
def test_a_doubtful_answer_is_none(tmp_path: Path) -> None:
    text = written(cylinder(), tmp_path / "a.step")
    # a radius that does not fit the edges, a border that is turned around, a face that is missing
    assert reason(re.sub(r"(CYLINDRICAL_SURFACE\('',#\d+,)5\.\)", r"\g<1>5.01)", text)) == "edges that leave their surfaces"
    assert reason(re.sub(r"(CIRCLE\('',#\d+,)5\.\)", r"\g<1>5.01)", text)) == "edges that leave their surfaces"
    assert reason(re.sub(r"(CIRCLE\('',#\d+,)5\.\)", r"\g<1>5.5)", text)) == "edges that do not end at their vertices"
    assert reason(re.sub(r"(FACE_BOUND\('',#\d+,)\.T\.\)", r"\g<1>.F.)", text, count=1)) == "a shell that is not closed"
    assert reason(re.sub(r"(CLOSED_SHELL\('',\()#\d+,", r"\g<1>", text)) == "a shell that is not closed"
    assert reason(re.sub(r"(VECTOR\('',#\d+,)1\.\)", r"\g<1>0.)", text)) == "a vector without length"
    # everything turned inside out: closed, but with a volume below zero
    inward = re.sub(r"(ADVANCED_FACE\([^;]*,)\.([TF])\.\)", lambda found: f"{found[1]}.{'FT'['TF'.index(found[2])]}.)", text)
    inward = re.sub(r"(FACE_BOUND\([^;]*,)\.([TF])\.\)", lambda found: f"{found[1]}.{'FT'['TF'.index(found[2])]}.)", inward)
    assert reason(inward) in ("a solid whose mesh and formula differ", "a face whose mesh and formula differ")


def shifted(text: str, entity: str, by: float) -> str:
    """All lines or circles of a text are moved, their vertices stay. Both refer to a place first, circles through a placement."""
    for first in re.findall(rf"= {entity}\('',#(\d+),", text):
        # of circles in parameters none is meant: their placements are of the plane
        for number in re.findall(rf"#{first} = AXIS2_PLACEMENT_3D\('',#(\d+),", text) if entity == "CIRCLE" else [first]:
            text = re.sub(rf"(#{number} = CARTESIAN_POINT\('',\()([^,]*)", lambda found: f"{found[1]}{float(found[2]) + by!r}", text)
    return text


@needs_kernel
def test_curves_that_end_a_little_beside_their_vertices_are_led_to_them(tmp_path: Path) -> None:
    plain = written(box(), tmp_path / "a.step")
    found = body(shifted(plain, "LINE", 0.02))
    # a straight edge is its ends, wherever its line was
    assert found.facts["area"] == pytest.approx(2200, rel=1e-12)
    assert found.facts["volume"] == pytest.approx(6000, rel=1e-12)
    assert reason(shifted(plain, "LINE", 0.1)) == "edges that end too far from their vertices"
    assert reason(shifted(plain, "LINE", 0.5)) == "edges that do not end at their vertices"
    (tmp_path / "b.step").write_text(shifted(written(bracket(), tmp_path / "b.step"), "CIRCLE", 0.01))
    (own,), (kernel,) = answers([tmp_path / "b.step"]), answers([tmp_path / "b.step"], before=ALWAYS)
    assert (own["result"]["facts"]["reader"], kernel["result"]["facts"]["reader"]) == ("analytic", "opencascade")
    assert differences(own["result"], kernel["result"]) == []


@needs_kernel
def test_an_assembly_that_unfolds_without_end_is_left_to_the_kernel(tmp_path: Path) -> None:
    text = written(pair(), tmp_path / "a.step", assembly=True)
    assert body(text).facts["solids"] == 2
    whole, part = re.findall(r"NEXT_ASSEMBLY_USAGE_OCCURRENCE\([^;]*?(#\d+),(#\d+),\$", text)[0]
    turned = re.sub(rf"(NEXT_ASSEMBLY_USAGE_OCCURRENCE\([^;]*?){whole},{part},", rf"\g<1>{part},{part},", text)
    assert reason(turned) == "an odd assembly"


def test_samples_need_no_kernel_at_all() -> None:
    paths = sorted((SAMPLES / "step").iterdir())
    told = answers(paths, before=WITHOUT)
    assert [one["code"] for one in told] == ["OK"] * len(paths)
    assert {one["result"]["facts"]["reader"] for one in told} == {"analytic"}


def test_numbers_and_keywords_are_told_apart_in_odd_texts() -> None:
    from tests.workers.cad.test_reading_step import part21
    from workers.cad.analytic.instances import REALS, instances

    odd = "#7 =\nCARTESIAN_POINT ( 'a,(b' ,( 1. ,\n-2.5E1, 3 ) )"
    text = part21(odd, "#2=POINTS('',#7,.F. )", "#900=(POINT()OTHER(#7))", "#3=REFS($,(#7,#2),4.5)",
                  "#4=CIRCLE('',#7, 2.5\n)", "#5=CARTESIAN_POINT('',(1.,2.))", "#6=CIRCLE('',#7,1.,2.)")  # fmt: skip
    known = (b"CARTESIAN_POINT", b"REFS", b"POINTS", b"DIRECTION", *REALS)
    table = instances(checked(text, LIMITS), known)
    circle = known.index(b"CIRCLE")
    assert table.kinds.tolist() == [0, 2, -1, 1, circle, 0, circle]
    points, circles = table.of(b"CARTESIAN_POINT"), table.of(b"CIRCLE")
    assert table.vectors(points[:1]).T.tolist() == [[1.0, -25.0, 3.0]]
    assert table.reals(circles[:1], 1).tolist() == [[2.5]]
    # a point of the plane is none in space, a circle has one radius
    with pytest.raises(NotCovered):
        table.vectors(points)
    with pytest.raises(NotCovered):
        table.reals(circles, 1)
    assert table.flags(table.of(b"POINTS")).tolist() == [False]
    assert table.lists(table.of(b"REFS"))[0].tolist() == [0, 1]
    assert table.reals(table.of(b"POINTS")[:0], 1).shape == (1, 0)


@needs_data
@needs_kernel
def test_real_and_hostile_files_get_the_same_answer_both_ways() -> None:
    every = 1 if os.environ.get("CADMILL_ALL_FILES") else 12
    real = [DATA / "real" / row["path"] for row in rows("real/manifest.csv") if row["format"] == "step"][::every]
    bad = [DATA / "bad" / row["file"] for row in rows("bad/expected.csv") if row["file"].endswith(".step")]
    paths = [*real, *bad]
    apart = []
    covered = 0
    for path, own, kernel in zip(paths, answers(paths), answers(paths, before=ALWAYS), strict=True):
        if own["code"] != kernel["code"]:
            apart.append((path.name, own["code"], kernel["code"]))
        elif own["code"] == "OK" and own["result"]["facts"]["reader"] == "analytic":
            covered += path in real
            apart += [(path.name, told) for told in differences(own["result"], kernel["result"])]
    assert apart == []
    assert covered >= 0.75 * len(real)
