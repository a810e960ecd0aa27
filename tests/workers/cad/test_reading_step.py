"""STEP: exact values of parts made here, and what is told of a text before and after the kernel sees it."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tests.workers.cad.child import ROOT, answers
from tests.workers.cad.kernel_here import needs_kernel
from workers.cad.brep.step_names import header, products, text, units
from workers.cad.brep.step_text import StepText, checked

LIMITS = CadSettings()
HEAD = (
    "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\n"
    "FILE_NAME('/home/anna/part','2026-01-01',('Anna'),('Works'),'pre 1','CAD 2','');\n"
    "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 }'));\nENDSEC;\nDATA;\n"
)
TAIL = "ENDSEC;\nEND-ISO-10303-21;\n"


def part21(*records: str) -> bytes:
    return (HEAD + "".join(f"{record};\n" for record in records) + TAIL).encode("latin-1")


def text21(*records: str) -> StepText:
    return checked(part21(*records), LIMITS)


def failure(data: bytes, limits: CadSettings = LIMITS) -> Failure:
    with pytest.raises(Failure) as caught:
        checked(data, limits)
    return caught.value


@pytest.fixture(scope="module")
def cylinder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of a cylinder of radius 5 and height 20, as Open CASCADE writes it."""
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    path = tmp_path_factory.mktemp("step") / "cylinder.step"
    writer = STEPControl_Writer()
    writer.Transfer(BRepPrimAPI_MakeCylinder(5, 20).Shape(), STEPControl_AsIs)
    writer.Write(str(path))
    return path.read_text()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """What comes out of texts, all read by one child."""

    def reading(*contents: str) -> list[dict[str, Any]]:
        paths = [tmp_path / f"{place}.step" for place in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content, encoding="latin-1")
        return answers(paths)

    return reading


Read = Callable[..., list[dict[str, Any]]]


@needs_kernel
def test_what_is_told_of_a_cylinder_is_exact(cylinder: str, read: Read) -> None:
    result = read(cylinder)[0]["result"]
    facts = result["facts"]
    assert facts["faces"] == {"cylinder": 1, "plane": 2}
    # two circles and the seam
    assert facts["edges"] == {"circle": 2, "line": 1}
    assert (facts["solids"], facts["shells"], facts["vertices"], facts["closed"], facts["watertight"]) == (1, 1, 2, True, True)
    assert facts["area"] == pytest.approx(2 * math.pi * 5 * 25, rel=1e-9)
    assert facts["volume"] == pytest.approx(math.pi * 25 * 20, rel=1e-9)
    assert result["bounding_box"]["min"] == pytest.approx([-5, -5, 0], abs=1e-9)
    assert result["bounding_box"]["max"] == pytest.approx([5, 5, 20], abs=1e-9)
    assert result["units"] == {"name": "mm", "millimetres_per_unit": 1.0, "origin": "file", "confidence": 0.99, "suspected": None}
    assert result["findings"] == []
    assert (result["format"], result["family"]) == ("step", "3d")


@needs_kernel
def test_faces_and_their_kinds_make_surface_count_and_shape_entropy(cylinder: str, read: Read) -> None:
    result = read(cylinder)[0]["result"]
    assert result["surface_count"] == 3
    expected = -(2 / 5 * math.log(2 / 5) + 3 / 5 * math.log(3 / 5)) / math.log(2)
    assert result["shape_entropy"] == pytest.approx(expected)
    assert result["slots"]["surface_count"] == pytest.approx(math.log(4))
    assert result["slots"]["shape_entropy"] == pytest.approx(expected)


@needs_kernel
def test_slips_that_do_no_harm_are_told_with_the_answer(cylinder: str, read: Read) -> None:
    slips = {
        "FILE_REPAIRED": cylinder.replace("END-ISO-10303-21;", ""),
        "SCHEMA_UNKNOWN": re.sub(r"'AUTOMOTIVE_DESIGN[^']*'", "'OF_MY_OWN'", cylinder),
        "BYTES_IGNORED": cylinder + "and more",
        "REFERENCES_DANGLING": cylinder.replace("_CATEGORY('part',$,(", "_CATEGORY('part',$,(#99999,"),
    }
    whole, *others = read(cylinder, *slips.values())
    for code, told in zip(slips, others, strict=True):
        assert code in {finding["code"] for finding in told["result"]["findings"]}
        # with references to nothing the kernel reads the file, and its mesh has other last digits
        assert told["result"]["vector"] == pytest.approx(whole["result"]["vector"], abs=1e-9)


@needs_kernel
def test_a_hole_in_the_geometry_does_not_kill(cylinder: str, read: Read) -> None:
    holes = [
        re.sub(rf"(= *{kind}\([^;]*?)#\d+", rf"\g<1>{value}", cylinder)
        for kind in ("DEFINITIONAL_REPRESENTATION", "EDGE_LOOP", "LINE", "VECTOR")
        for value in ("#99999", "$", "*")
    ]
    told = read(*holes)
    assert [one["code"] for one in told] == ["FILE_CORRUPT"] * len(holes)
    assert {one["context"]["reason"] for one in told} == {"geometry refers to what is not there or not of its kind"}


@needs_kernel
def test_comments_anywhere_change_nothing(cylinder: str, read: Read) -> None:
    commented = cylinder.replace("DATA;", "DATA; /* it's (a comment; #1 = */").replace("CARTESIAN_POINT(", "CARTESIAN_POINT/* ' */(")
    plain, told = read(cylinder, commented)
    assert plain["result"]["vector"] == told["result"]["vector"]


@needs_kernel
def test_a_file_without_faces_holds_no_geometry(read: Read) -> None:
    assert read(part21("#1=CARTESIAN_POINT('',(0.,0.,0.))").decode())[0]["code"] == "GEOMETRY_MISSING"


@needs_kernel
def test_the_kernel_prints_nothing_and_one_dead_child_is_one_answer(cylinder: str, tmp_path: Path) -> None:
    path = tmp_path / "a.step"
    path.write_text(cylinder)
    dying = "import os, workers.cad.brep.step as step; step.units = lambda data: os.abort()"
    # that nothing else prints is asserted by the helper itself
    assert [told["code"] for told in answers([path, path])] == ["OK", "OK"]
    assert [told["code"] for told in answers([path, path], before=dying)] == ["DIED", "DIED"]


def test_without_the_kernel_every_item_says_what_is_missing(tmp_path: Path) -> None:
    step, iges = tmp_path / "a.step", tmp_path / "a.igs"
    step.write_bytes(part21("#1=A()"))
    iges.write_bytes(b"x".ljust(72) + b"S      1\n")
    told = answers([step, iges], before="import sys; sys.modules['OCP'] = None")
    assert [(one["code"], one["context"]) for one in told] == [("CAD_KERNEL_MISSING", {"missing": "cadquery-ocp-novtk"})] * 2


def test_a_missing_system_library_is_named_without_a_path() -> None:
    program = (
        "import builtins; real = builtins.__import__\n"
        "def broken(name, *rest):\n"
        "    if name.startswith('OCP'): raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = broken\n"
        "from workers.cad.brep.kernel import need_kernel; from foundation.errors import Failure\n"
        "try: need_kernel()\n"
        "except Failure as failure: print(failure.code, failure.context, failure.row.remedy)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.startswith("CAD_KERNEL_MISSING {'missing': 'libGL.so.1'}")
    assert "make setup" in told
    assert all(package in told for package in ("libgl1", "libx11-6", "libexpat1"))


def test_the_engine_is_imported_without_the_kernel() -> None:
    program = "import sys, workers.features.extraction; print('OCP' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (part21("#1=A('it''s'", "#2=B()"), "lists are not closed where they should be"),
        (part21("#1=A()))("), "lists are not closed where they should be"),
        (part21("#1=A(')"), "a string has no end"),
        (part21("/* #1=A()"), "a comment has no end"),
        (part21("#1=A(1.,NaN)"), "a number is none"),
        (part21("#1=A(-inf,1.)"), "a number is none"),
        (part21("#1=A(1.#QNAN)"), "an entity number is none or absurdly large"),
        (part21(f"#{10**19}=A()"), "an entity number is none or absurdly large"),
        (part21("#1=A()", "#2=B()", "#1 = C()"), "entity numbers are defined twice"),
        (part21("#1=A('\0')"), "it holds zero bytes"),
        (part21("#1=A(#2,").split(b",;")[0], "it ends within an entity"),
        (HEAD.split("DATA")[0].encode(), "it has no data section"),
    ],
)
def test_a_text_that_would_mislead_or_kill_the_kernel_is_corrupt(data: bytes, reason: str) -> None:
    found = failure(data)
    assert (found.code, found.context["reason"]) == ("FILE_CORRUPT", reason)


def test_a_million_openings_of_comments_are_judged_at_once() -> None:
    started = time.perf_counter()
    assert failure(part21("#1=A()" + "/*" * 1_000_000)).context["reason"] == "a comment has no end"
    assert time.perf_counter() - started < 5


def test_marks_within_strings_are_no_marks() -> None:
    source = checked(part21("#1=A('(((#9=; /* nan, inf ''quoted'' ')", "#2 = B(#1,'(,NaN,)')"), LIMITS)
    assert (source.records, source.findings) == (2, ())


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        (part21("#1=A(" + "(" * 50 + ")" * 51), LIMITS, "CADMILL_CAD_MAX_NESTING"),
        (part21("#1=A('" + "x" * 70_000 + "')"), LIMITS, "CADMILL_CAD_MAX_STRING"),
        (part21("#1=A()", "#2=A()"), CadSettings(max_records=1), "CADMILL_CAD_MAX_RECORDS"),
    ],
)
def test_limits_are_named_in_the_failure(data: bytes, limits: CadSettings, name: str) -> None:
    found = failure(data, limits)
    assert (found.code, found.context["limit"]) == ("CAD_LIMIT", name)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (rb"Tr\X2\00E4\X0\ger \X\D812", "Träger Ø12"),
        (rb"\X4\0001F529\X0\ bolt", "🔩 bolt"),
        (rb"\S\D\PA\x", "Äx"),
        (rb"it''s a \\ slash", "it's a \\ slash"),
        ("größe".encode("latin-1"), "größe"),
        ("größe".encode(), "größe"),
        (b"a\tb\x07", "ab"),
        (rb"\X2\D800\X0\x", "\ufffdx"),
        (b"x" * 500, "x" * 200),
    ],
)
def test_names_come_out_of_their_escapes(raw: bytes, plain: str) -> None:
    assert text(raw) == plain


def test_the_header_tells_systems_and_neither_people_nor_paths() -> None:
    told = header(part21())
    assert told == {
        "schema": "AUTOMOTIVE_DESIGN { 1 0 }", "created": "2026-01-01", "preprocessor": "pre 1", "originating_system": "CAD 2"
    }  # fmt: skip


def test_an_assembly_is_told_by_the_names_of_its_products() -> None:
    data = part21(
        "#1=PRODUCT('p1','car','',(#9))", "#2=PRODUCT('p2','wheel','',(#9))",
        "#3=PRODUCT_DEFINITION_FORMATION('','',#1)", "#4=PRODUCT_DEFINITION_FORMATION_WITH_SPECIFIED_SOURCE('','',#2,.NOT_KNOWN.)",
        "#5=PRODUCT_DEFINITION('design','',#3,#9)", "#6=PRODUCT_DEFINITION('design','',#4,#9)",
        *(f"#{number}=NEXT_ASSEMBLY_USAGE_OCCURRENCE('{number}','','',#5,#6,$)" for number in range(10, 14)),
    )  # fmt: skip
    told = products(data)
    assert told["products"] == ["car", "wheel"]
    assert told["assembly"] == [{"product": "car", "part": "wheel", "count": 4}]
    assert (told["products_total"], told["assembly_total"]) == (2, 4)


def test_units_follow_conversions_and_say_where_they_come_from() -> None:
    metre = "#1=(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT($,.METRE.))"
    context = "#5=(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNIT_ASSIGNED_CONTEXT((#%d,#9)))"
    foot = ("#2=LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(0.3048),#1)", "#3=(CONVERSION_BASED_UNIT('FOOT',#2)LENGTH_UNIT()NAMED_UNIT(*))")
    assert units(text21(metre, context % 1))[0].millimetres_per_unit == 1000
    unit, names = units(text21(metre, *foot, context % 3))
    assert (unit.name, unit.millimetres_per_unit, unit.origin.value, names) == ("ft", pytest.approx(304.8), "file", ["ft"])
    endless = "#2=LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E999),#1)"
    assert units(text21(metre, endless, foot[1], context % 3))[0].origin.value == "assumed"
    circle = "#2=LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(2.),#3)"
    unit, names = units(text21(circle, foot[1], context % 3))
    assert (unit.name, unit.origin.value, names) == ("mm", "assumed", [])


@needs_kernel
def test_an_edge_that_leaves_its_face_by_more_than_can_be_counted_is_invalid() -> None:
    from workers.cad.brep.kernel import need_kernel

    need_kernel()
    from OCP.BRep import BRep_Builder, BRep_Tool
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeFace
    from OCP.collections import Array1_gp_Pnt, Array2_gp_Pnt
    from OCP.Geom import Geom_BezierCurve, Geom_BezierSurface
    from OCP.gp import gp_Pnt
    from OCP.TopAbs import TopAbs_EDGE
    from OCP.TopoDS import TopoDS

    from workers.cad.brep.body import body_of, elements

    corners, poles = Array2_gp_Pnt(1, 2, 1, 2), Array1_gp_Pnt(1, 3)
    for x, y in ((1, 1), (1, 2), (2, 1), (2, 2)):
        corners.SetValue(x, y, gp_Pnt(10 * x, 10 * y, x * y))
    face = BRepBuilderAPI_MakeFace(Geom_BezierSurface(corners), 1e-7).Face()
    edge = TopoDS.Edge(elements(face, TopAbs_EDGE)[0])
    ends = [BRep_Tool.Curve_s(edge, 0.0, 0.0).Value(at) for at in BRep_Tool.Range_s(edge)]
    for place, pole in enumerate((ends[0], gp_Pnt(0, 0, 1e20), ends[1]), 1):
        poles.SetValue(place, pole)
    BRep_Builder().UpdateEdge(edge, Geom_BezierCurve(poles), 1e-7)
    BRep_Builder().Range(edge, 0.0, 1.0)
    with warnings.catch_warnings(), pytest.raises(Failure) as caught:
        warnings.simplefilter("error")
        body_of(face, LIMITS)
    assert (caught.value.code, caught.value.context["reason"]) == ("GEOMETRY_INVALID", "the mesh leaves the box of its shape by far")
