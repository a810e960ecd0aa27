"""IGES: loose faces become solids, and what the records tell before the kernel sees them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tests.workers.cad.child import answer, answers
from tests.workers.cad.kernel_here import needs_kernel
from workers.cad.brep.iges_reals import with_reals
from workers.cad.brep.iges_records import checked

LIMITS = CadSettings()
GLOBAL = "1H,,1H;,4Hpart,9Hpart;.igs,3HCAD,3Hpre,32,38,6,308,15,4Hpart,1.0,2,2HMM,1,1.0,15H20260101.000000,1.0E-6,30.0,2Hme,2Hus,11,0;"


def record(content: str, letter: str, place: int) -> str:
    return f"{content:<72}{letter}{place:>7}\n"


def iges(*parameters: str, given: str = GLOBAL, kind: int = 110, last: str | None = None) -> bytes:
    """A file of one line (or another `kind`) for each parameter record."""
    lines = [record("made for a test", "S", 1)]
    pieces = [given[at : at + 72] for at in range(0, len(given), 72)]
    lines += [record(piece, "G", place) for place, piece in enumerate(pieces, 1)]
    for place in range(1, len(parameters) + 1):
        lines.append(record(f"{kind:>8}{place:>8}{0:>8}{1:>8}{0:>8}{0:>8}{0:>8}00000000", "D", 2 * place - 1))
        lines.append(record(f"{kind:>8}{0:>8}{0:>8}{1:>8}{0:>8}{'':>24}", "D", 2 * place))
    lines += [record(f"{text:<64}{2 * place - 1:>8}", "P", place) for place, text in enumerate(parameters, 1)]
    counts = f"S{1:>7}G{len(pieces):>7}D{2 * len(parameters):>7}P{len(parameters):>7}"
    lines.append(record(counts if last is None else last, "T", 1))
    return "".join(lines).encode()


LINE = "110,0.0,0.0,0.0,10.0,0.0,0.0;"


def failure(data: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        checked(data, LIMITS)
    return caught.value


@needs_kernel
def test_faces_of_a_body_are_sewn_to_a_solid_and_two_bodies_to_two(tmp_path: Path) -> None:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder
    from OCP.gp import gp_Pnt
    from OCP.IGESControl import IGESControl_Writer

    def written(mode: int, *shapes: Any) -> Path:
        path = tmp_path / f"{mode}_{len(shapes)}.igs"
        writer = IGESControl_Writer("MM", mode)
        for shape in shapes:
            writer.AddShape(shape)
        writer.ComputeModel()
        writer.Write(str(path))
        return path

    cylinder, box = BRepPrimAPI_MakeCylinder(5, 20).Shape(), BRepPrimAPI_MakeBox(gp_Pnt(30, 0, 0), 10, 20, 30).Shape()
    told = answers([written(0, cylinder), written(0, cylinder, box.Reversed()), written(1, cylinder)])
    one, two, solid = (answer["result"]["facts"] for answer in told)
    assert (one["solids"], two["solids"], solid["solids"]) == (1, 2, 1)
    for facts, area, volume in (
        (one, 250 * math.pi, 500 * math.pi),
        (two, 250 * math.pi + 2200, 500 * math.pi + 6000),
        (solid, 250 * math.pi, 500 * math.pi),
    ):
        assert facts["area"] == pytest.approx(area, rel=1e-6)
        assert facts["volume"] == pytest.approx(volume, rel=1e-6)
        assert facts["watertight"]
    assert sum(two["faces"].values()) == 9
    assert told[0]["result"]["units"]["name"] == "mm"


@needs_kernel
def test_curves_alone_hold_no_geometry(tmp_path: Path) -> None:
    path = tmp_path / "a.igs"
    path.write_bytes(iges(LINE, LINE))
    assert answer(path) == {"code": "GEOMETRY_MISSING", "context": {"faces": 0, "edges": 2}}


def test_units_systems_and_kinds_are_told() -> None:
    source = checked(iges(LINE, LINE), LIMITS)
    assert source.findings == ()
    assert (source.units.name, source.units.origin.value) == ("mm", "file")
    assert source.facts == {
        "records": 2, "records_by_type": {"110": 2}, "product": "part", "originating_system": "CAD", "preprocessor": "pre",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "name", "millimetres"),
    [
        ("1,2HIN", "in", 25.4),
        ("3,2HCM", "cm", 10.0),
        ("6,1HM", "m", 1000.0),
        ("3,3HELL", "mm", 1.0),
        ("9" * 5000 + ",2HMM", "mm", 1.0),
        ("9" * 5000 + "HMM,2HMM", "mm", 1.0),
        (",", "mm", 1.0),
    ],
)
def test_units_by_flag_and_by_name(flag: str, name: str, millimetres: float) -> None:
    units = checked(iges(LINE, given=GLOBAL.replace("2,2HMM", flag)), LIMITS).units
    assert (units.name, units.millimetres_per_unit) == (name, millimetres)


def test_other_marks_between_parameters_are_understood() -> None:
    given = GLOBAL.replace("part;.igs", "part!.igs").replace(",", "|").replace(";", "!").replace("1H|", "1H|", 1)
    assert checked(iges(LINE.replace(",", "|").replace(";", "!"), given=given), LIMITS).facts["originating_system"] == "CAD"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (iges(LINE).replace(b"P      1", b""), "records name no section in column 73"),
        (iges(LINE).replace(b"     110       1", b"     110      77"), "the directory points to parameters that do not exist"),
        (b"".join(iges(LINE).splitlines(True)[:4]), "the directory ends within an entity"),
        (iges("110,0.0,NaN,0.0,1.0,0.0,0.0;"), "a number is none"),
        (iges("110,0.0,999999999Habc;"), "a string claims to be longer than the file"),
    ],
)
def test_records_that_would_mislead_the_kernel_are_corrupt(data: bytes, reason: str) -> None:
    found = failure(data)
    assert (found.code, found.context["reason"]) == ("FILE_CORRUPT", reason)


def test_slips_that_do_no_harm_are_told() -> None:
    whole = iges(LINE)
    for data in (
        whole.replace(b"D      2P      1", b"D      4P      9"),
        b"".join(line for line in whole.splitlines(True) if line[72:73] != b"T"),
        whole.replace(b"G      2\n", b"G      7\n"),
    ):
        assert [finding.code.value for finding in checked(data, LIMITS).findings] == ["FILE_REPAIRED"]


def test_line_ends_of_every_kind_and_none_are_read_alike() -> None:
    data = iges(LINE)
    for other in (data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"")):
        assert checked(other, LIMITS) == checked(data, LIMITS)


def test_limits_and_the_compressed_form_are_refused() -> None:
    with pytest.raises(Failure) as caught:
        checked(iges(LINE, LINE), CadSettings(max_records=1))
    assert caught.value.context["limit"] == "CADMILL_CAD_MAX_RECORDS"
    assert failure(iges(LINE).replace(b"S      1\n", b"C      1\n", 1)).code == "FORMAT_UNSUPPORTED"


def patch(*corners: str, width: int = 13) -> bytes:
    """A B-spline patch with four corners, in padded fields of whole numbers whose fifth comma stands in column 65."""
    numbers = ["128", *"1111", *"00000", *"0011", *"0011", *"1111", *corners, *"0101"]
    fields = [f"{number:>{width - 1}}" for number in numbers]
    rows = [",".join(fields[at : at + 5]) + "," for at in range(0, len(fields), 5)]
    rows[-1] = rows[-1][:-1] + ";"
    lines = [record("made for a test", "S", 1)]
    pieces = [GLOBAL[at : at + 72] for at in range(0, len(GLOBAL), 72)]
    lines += [record(piece, "G", place) for place, piece in enumerate(pieces, 1)]
    lines.append(record(f"{128:>8}{1:>8}{0:>8}{0:>8}{1:>8}{0:>8}{0:>8}{0:>8}00000000"[:72], "D", 1))
    lines.append(record(f"{128:>8}{0:>8}{2:>8}{len(rows):>8}{0:>8}", "D", 2))
    lines += [record(f"{row:<65}{1:>7}", "P", place) for place, row in enumerate(rows, 1)]
    lines.append(record(f"S{1:>7}G{len(pieces):>7}D{2:>7}P{len(rows):>7}", "T", 1))
    return "".join(lines).encode()


def test_whole_numbers_of_splines_become_reals_where_there_is_room() -> None:
    corners = ("0", "0", "0", "10", "0", "0", "0", "20", "0", "10", "20", "-0.5")
    data = patch(*corners)
    repaired, count = with_reals(data)
    assert (len(repaired), count) == (len(data), 4 + 4 + 4 + 11 + 4)
    assert repaired.count(b"0.,") + repaired.count(b"1.,") + repaired.count(b"1.;") >= 20
    # a comma in column 65 would belong to the pointer of the record
    assert all(line[64:65] == b" " for line in repaired.splitlines() if line[72:73] == b"P")
    assert with_reals(repaired) == (repaired, 0)
    assert with_reals(patch(*corners, width=2))[1] == 0


@needs_kernel
def test_a_surface_with_whole_numbers_is_read_and_told_as_repaired(tmp_path: Path) -> None:
    path = tmp_path / "patch.igs"
    path.write_bytes(patch("0", "0", "0", "10", "0", "0", "0", "20", "0", "10", "20", "0"))
    told = answer(path)
    assert told["code"] == "OK"
    assert told["result"]["facts"]["area"] == pytest.approx(200)
    assert {"code": "FILE_REPAIRED", "count": 28} in [{key: one[key] for key in ("code", "count")} for one in told["result"]["findings"]]


def test_types_that_are_none_are_told_in_bounds_and_as_text() -> None:
    lines = iges(*[LINE] * 300).splitlines(keepends=True)
    kinds = (b"%8d" % (place // 2) for place in range(1000))
    data = b"".join(next(kinds) + line[8:] if line[72:73] == b"D" else line for line in lines)
    assert len(checked(data, LIMITS).facts["records_by_type"]) == 200
    assert checked(data.replace(b"\n       7", b"\n  \0\xff   7"), LIMITS).facts["records_by_type"]["ÿ   7"] == 1
