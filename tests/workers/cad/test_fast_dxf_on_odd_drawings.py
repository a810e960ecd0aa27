"""Drawings that break the rules of DXF in ways the reference forgives: the same both ways, or left to it where they hardly differ."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import ezdxf
import pytest

from tests.workers.cad.test_fast_dxf import agrees
from tests.workers.cad.test_fast_dxf_on_made_drawings import Tags, drawing

Edit = Callable[[str], str]


def outline(*base: tuple[int, object]) -> Tags:
    return [(0, "LINE"), *base, (8, "0"), (10, 0), (20, 0), (11, 30), (21, 40)]


def section(name: str, *tags: tuple[int, object]) -> Tags:
    return [(0, "SECTION"), (2, name), *tags, (0, "ENDSEC")]


def header(version: str, *more: tuple[int, object]) -> Tags:
    return section("HEADER", (9, "$ACADVER"), (1, version), *more)


def written(path: Path, tags: Tags) -> Path:
    path.write_text("".join(f"{code:3d}\n{value}\n" for code, value in [*tags, (0, "EOF")]))
    return path


def replaced(old: str, new: str, times: int = -1) -> Edit:
    """Fails where there is nothing to replace: each such test would pass for nothing."""

    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, times)

    return edit


def saved(document: ezdxf.document.Drawing, path: Path, *edits: Edit) -> Path:
    stream = io.StringIO()
    document.write(stream)
    text = stream.getvalue()
    for edit in edits:
        text = edit(text)
    path.write_text(text, encoding="utf-8")
    return path


def same(text: str) -> str:
    return text


def column_texts(version: str) -> ezdxf.document.Drawing:
    document = ezdxf.new(version)
    document.modelspace().add_line((0, 0), (30, 40))
    document.modelspace().add_mtext_static_columns(["one", "two", "three"], width=20, gutter_width=1, height=100)
    document.modelspace().add_mtext("alone")
    return document


# handles of the texts above, and the tag that refers to the first of the linked ones
ONE, TWO, THREE, ALONE = "30", "31", "32", "33"
LINK = f"1005\n{TWO}\n"


@pytest.mark.parametrize("version", ["R2000", "R2007", "R2018"])
def test_columns_of_texts_are_joined_both_ways(tmp_path: Path, version: str) -> None:
    assert agrees(saved(column_texts(version), tmp_path / "a.dxf"))


@pytest.mark.parametrize(
    "edit",
    [
        replaced("ACAD_MTEXT_COLUMNS_END", "ACAD_MTEXT_COLUMNS"),
        replaced("ACAD_MTEXT_COLUMN_INFO_BEGIN", "ACAD_MTEXT_COLUMN_INFO"),
        replaced(LINK, LINK + LINK),
        replaced(LINK, ""),
        replaced(LINK, "1005\n7F0\n"),
        replaced(LINK, f"1005\n{ALONE}\n"),
        replaced(LINK, f"1005\n{ONE}\n"),
        replaced(LINK, "1005\n2F\n"),
        replaced(LINK, "1005\n17\n"),
        replaced("1070\n75\n1070\n1\n", "1070\n75\n1070\n7\n"),
        replaced(f"  5\n{TWO}\n330\n17\n", f"  5\n{TWO}\n330\n1B\n"),
        replaced(f"  5\n{ONE}\n330\n17\n", f"  5\n{ONE}\n330\n1B\n"),
        replaced(f"  5\n{ALONE}\n330\n17\n", f"  5\n{TWO}\n330\n17\n"),
        replaced(f"  5\n{ALONE}\n330\n17\n", f"  5\n{ONE}\n330\n17\n"),
        replaced("AcDbLayout\n  1\nModel\n", "AcDbLayout\n  1\nLayout1\n"),
        replaced("AcDbLayout\n  1\nModel\n", "AcDbLayout\n  1\nother\n"),
        replaced("1001\nACAD\n", "1001\nOTHER\n"),
        replaced("1001\nACAD\n", "101\nEmbedded Object\n 70\n1\n1001\nACAD\n"),
        replaced("AC1015", "AC1032"),
        replaced("1005\n32\n", "  3\nno word\n1005\n32\n"),
        replaced("100\nAcDbMText\n", "  3\nno word\n100\nAcDbMText\n"),
    ],
)
def test_texts_that_hardly_have_columns_are_never_read_otherwise(tmp_path: Path, edit: Edit) -> None:
    for version in ("R2000", "R2018"):
        try:
            path = saved(column_texts(version), tmp_path / "a.dxf", edit)
        except AssertionError:
            assert version == "R2018"  # there columns are no texts
            continue
        agrees(path)


FRAME = "1001\nACAD\n1000\nACAD_MTEXT_TEXT_BORDERS_BEGIN\n1070\n80\n1070\n16\n1070\n5\n1005\n30\n1000\nACAD_MTEXT_TEXT_BORDERS_END\n"


@pytest.mark.parametrize(
    ("edit", "sure"),
    [
        (same, True),
        (replaced("TEXT_BORDERS_END", "TEXT_BORDERS"), False),
        (replaced("TEXT_BORDERS_BEGIN", "TEXT_BORDERS"), False),
        (replaced("1005\n30\n", ""), True),
        (replaced("1005\n30\n", "1005\n2F\n"), False),
        (replaced("1005\n30\n", "1005\n32\n"), False),
        (replaced("1005\n30\n", "1005\n30\n1005\n30\n"), False),
        (replaced("1001\nACAD\n", "1001\nACADX\n"), True),
        (replaced("AcDbPolyline", "AcDbSpline"), False),
        (replaced("  0\nCIRCLE\n  5\n31\n", "  0\nCIRCLE\n  5\n30\n"), False),
    ],
)
def test_frames_of_texts_go_with_them_both_ways(tmp_path: Path, edit: Edit, sure: bool) -> None:
    document = ezdxf.new("R2010")
    space = document.modelspace()
    space.add_mtext("framed")
    space.add_lwpolyline([(0, 0), (50, 0), (50, 9), (0, 9)], close=True, dxfattribs={"layer": "frames"})
    space.add_circle((3, 4), 5)
    space.add_mtext("other")
    framed = replaced("  1\nframed\n", f"  1\nframed\n{FRAME}")
    assert agrees(saved(document, tmp_path / "a.dxf", framed, edit)) is sure


SPLINE: Tags = [
    (100, "AcDbEntity"),
    (8, "curves"),
    (100, "AcDbSpline"),
    (70, 8),
    (71, 3),
    *((40, knot) for knot in (0, 0, 0, 0, 1, 1, 1, 1)),
]
SPLINE += [tag for x, y in ((0, 0), (1, 3), (4, 5), (9, 7)) for tag in ((10, x), (20, y), (30, 0))]
LIGHT: Tags = [(8, "Maße"), (90, 3), (70, 1), (10, 0), (20, 0), (10, 5), (20, 0), (42, 0.5), (10, 5), (20, 5)]


@pytest.mark.parametrize("head", [[], header("AC1009"), header("AC1009", (9, "$HANDSEED"), (5, "20")), header("AC1004"), section("HEADER")])
@pytest.mark.parametrize(
    ("entities", "sure"),
    [
        ([(0, "SPLINE"), (5, "A1"), *SPLINE], True),
        ([(0, "LWPOLYLINE"), (5, "A1"), *LIGHT], True),
        ([*outline(), (0, "MTEXT"), (5, "A1"), (8, "0"), (10, 0), (20, 0), (1, "word")], True),
        # the reference knows the second of two entities of one handle, and mends nothing where that is one of R12
        ([(0, "LWPOLYLINE"), (5, "A1"), *LIGHT, *outline((5, "A1"))], False),
        ([*outline((5, "A1")), (0, "LWPOLYLINE"), (5, "A1"), *LIGHT], False),
        ([(0, "LWPOLYLINE"), *LIGHT, *outline((5, "1"))], False),
        ([(0, "LWPOLYLINE"), *LIGHT, *outline((5, "20")), (0, "SPLINE"), (5, "A1"), *SPLINE], True),
        ([(0, "LWPOLYLINE"), (5, "A1"), *LIGHT, *outline((5, "0A1"))], True),
    ],
)
def test_entities_of_r2000_in_r12_are_mended_both_ways(tmp_path: Path, head: Tags, entities: Tags, sure: bool) -> None:
    assert agrees(written(tmp_path / "a.dxf", [*head, *section("ENTITIES", *entities)])) is sure


def test_entities_of_r2000_without_handles_are_mended_both_ways(tmp_path: Path) -> None:
    assert agrees(written(tmp_path / "a.dxf", section("ENTITIES", (0, "LWPOLYLINE"), *LIGHT, *outline())))
    # in blocks as well
    block: Tags = [(0, "BLOCK"), (8, "0"), (2, "A"), (10, 0), (20, 0), (0, "LWPOLYLINE"), *LIGHT, (0, "ENDBLK"), (8, "0")]
    insert: Tags = [(0, "INSERT"), (8, "0"), (2, "A"), (10, 0), (20, 0)]
    assert agrees(written(tmp_path / "a.dxf", [*section("BLOCKS", *block), *section("ENTITIES", *insert)]))


@pytest.mark.parametrize("head", [[], header("AC1015"), header("AC1009"), header("AC1015", (9, "$HANDSEED"), (5, "30"))])
@pytest.mark.parametrize("tables", [[], section("TABLES", (0, "TABLE"), (2, "LAYER"), (0, "ENDTAB"))])
def test_owners_without_layouts_are_never_taken_for_the_records_that_the_reference_adds(tmp_path: Path, head: Tags, tables: Tags) -> None:
    marked = not head or ("AC1015" in [value for _, value in head])
    covered = 0
    for owner in (
        *(f"{number:X}" for number in (*range(1, 24), *range(0x30, 0x48), *range(0x100, 0x118), 0x3706)),
        "x",
        "",
        "0",
        "0A",
        "b",
    ):
        own: Tags = [(330, owner), *([(100, "AcDbEntity")] if marked and head else [])]
        polyline: Tags = [(0, "POLYLINE"), (8, "0"), (66, 1), (10, 0), (20, 0), (70, 0)]
        polyline += [tag for x in (1, 2) for tag in ((0, "VERTEX"), (8, "0"), (10, x), (20, 0))] + [(0, "SEQEND"), (8, "0")]
        # an entity in paperspace as well, and one where the flag says otherwise than the owner may
        tags = [*outline(*own), *outline(*own, (67, 1)), *polyline]
        covered += agrees(written(tmp_path / "a.dxf", [*head, *tables, *section("ENTITIES", *tags)]))
    assert covered > 20


def nameless(owner: str, *more: tuple[int, object], name: tuple[tuple[int, object], ...] = ()) -> Tags:
    head: Tags = [(0, "BLOCK"), *([(330, owner)] if owner else []), (100, "AcDbEntity"), (8, "0"), (100, "AcDbBlockBegin"), *name, (70, 0)]
    lines = [*outline(), *more]
    return [*head, (10, 1), (20, 2), *lines, (0, "ENDBLK"), (100, "AcDbEntity"), (8, "0"), (100, "AcDbBlockEnd")]


def record(name: str, handle: str) -> Tags:
    own: Tags = [(0, "BLOCK_RECORD"), *([(5, handle)] if handle else []), (100, "AcDbSymbolTableRecord"), (100, "AcDbBlockTableRecord")]
    return [*own, (2, name)]


CIRCLE: Tags = [(0, "CIRCLE"), (8, "holes"), (10, 1), (20, 1), (40, 2)]
INSERTS: Tags = [tag for name in ("A", "B", "C") for tag in ((0, "INSERT"), (8, "0"), (2, name), (10, 5), (20, 5))]


@pytest.mark.parametrize(
    ("owner", "sure"),
    [("A1", True), ("A2", True), ("A9", True), ("", True), ("a1", True), ("A3", True), ("A4", False), ("10", False), ("FFFF", True)],
)
@pytest.mark.parametrize("name", [(), ((2, ""),)])
@pytest.mark.parametrize("version", ["AC1009", "AC1015"])
def test_blocks_without_names_are_those_of_their_records_both_ways(
    tmp_path: Path, owner: str, sure: bool, name: tuple[tuple[int, object], ...], version: str
) -> None:
    table = [*record("A", "A1"), *record("*Model_Space", "A2"), *record("*Paper_Space", "A3"), *record("$Paper_Space", "A4")]
    tables = section("TABLES", (0, "TABLE"), (2, "BLOCK_RECORD"), *table, (0, "ENDTAB"))
    empty = owner == "A2"
    blocks: Tags = [] if empty else [*nameless("", *CIRCLE, name=name)]
    odd = nameless(owner, name=name)
    odd = [tag for tag in odd if tag not in outline()] if empty else odd
    named = [*nameless("", *CIRCLE, *CIRCLE, name=((2, "B"),)), *odd, *nameless("A9", *CIRCLE, name=((2, "C"),))]
    path = written(
        tmp_path / "a.dxf",
        [*header(version, (9, "$HANDSEED"), (5, "8")), *tables, *section("BLOCKS", *blocks, *named), *section("ENTITIES", *INSERTS)],
    )
    assert agrees(path) is sure


@pytest.mark.parametrize(
    ("handle", "seed", "sure"),
    [("80", "40", True), ("41", "40", False), ("42", "40", False), ("43", "40", True), ("3F", "40", True), ("2", "", False)],
)
def test_records_without_handles_are_covered_where_nothing_takes_the_handles_they_get(
    tmp_path: Path, handle: str, seed: str, sure: bool
) -> None:
    records = [*record("A", ""), *record("*Model_Space", ""), *record("*Paper_Space", "")]
    tables = section("TABLES", (0, "TABLE"), (2, "APPID"), (0, "ENDTAB"), (0, "TABLE"), (2, "BLOCK_RECORD"), *records, (0, "ENDTAB"))
    objects: Tags = [(0, "DICTIONARY"), (5, handle), (100, "AcDbDictionary"), (0, "PLACEHOLDER"), (5, "90")]
    objects += [(0, "PLACEHOLDER"), (5, "91"), (0, "PLACEHOLDER"), (5, "92")]
    head = header("AC1015", *([(9, "$HANDSEED"), (5, seed)] if seed else []))
    blocks = section("BLOCKS", *nameless("", *CIRCLE, name=((2, "A"),)))
    own = outline((330, "1F0"), (100, "AcDbEntity"))
    drawn = section("ENTITIES", *INSERTS[:5], *own)
    assert agrees(written(tmp_path / "a.dxf", [*head, *tables, *blocks, *drawn, *section("OBJECTS", *objects)])) is sure


def layouts() -> ezdxf.document.Drawing:
    """The records of modelspace and two paperspaces are 17, 1B and 2F, their layouts 1A, 1E and 32."""
    document = ezdxf.new("R2010")
    document.layouts.new("Layout2")
    for number, space in enumerate((document.modelspace(), document.layout("Layout1"), document.layout("Layout2"))):
        for at in range(number + 1):
            space.add_line((0, at), (10 + number, at))
    return document


def lost(*records: str) -> list[Edit]:
    """Layouts refer to records that are nowhere."""
    return [replaced(f"330\n{record}\n  0\n", f"330\nFFF{record}\n  0\n") for record in records]


def unlinked(*links: str) -> list[Edit]:
    return [replaced(f"340\n{link}\n", "") for link in links]


def linked(old: str, new: str) -> Edit:
    return replaced(f"340\n{old}\n", f"340\n{new}\n")


def titled(old: str, new: str) -> Edit:
    return replaced(f"AcDbLayout\n  1\n{old}\n", f"AcDbLayout\n  1\n{new}\n")


@pytest.mark.parametrize(
    ("edits", "sure"),
    [
        ([], True),
        (lost("17"), True),
        (lost("17", "1B", "2F"), True),
        ([*lost("17", "1B", "2F"), *unlinked("1A", "1E", "32")], True),
        ([*lost("2F"), *unlinked("32")], True),
        # the first paperspace links to nothing and is taken by the wrong layout: there is one left over
        ([*lost("1B", "2F"), *unlinked("1E")], True),
        ([*lost("1B", "2F"), linked("1E", "-"), linked("32", "1E"), linked("-", "32")], True),
        # both link to one layout, so nothing is left for the other
        ([*lost("1B", "2F"), linked("32", "1E")], False),
        ([*lost("2F"), linked("32", "1E")], False),
        ([*lost("2F"), *unlinked("1E"), linked("32", "1E")], False),
        ([*lost("2F"), replaced("340\n32\n", "1001\nACAD\n340\n32\n")], False),
        ([*lost("2F"), linked("32", "2D")], False),
        ([*lost("2F"), linked("32", "7")], False),
        ([*lost("2F"), linked("32", "ABCDE")], True),
        # only the name in the layout itself counts
        ([*lost("17"), titled("Model", "MODEL")], False),
        ([*lost("17"), titled("Model", "Layout3")], False),
        ([*lost("2F"), titled("Layout2", "Model")], False),
        ([titled("Model", "Layout3")], True),
        # records that are something else, or may become something
        ([replaced("330\n17\n  0\n", "330\n7\n  0\n")], False),
        ([replaced("330\n17\n  0\n", "330\n40\n  0\n")], False),
        ([replaced("330\n2F\n  0\n", "330\n1B\n  0\n")], True),
        ([replaced("330\n17\n  0\n", "1001\nACAD\n330\n17\n  0\n")], False),
        ([replaced("330\n1B\n  0\n", "  0\n")], True),
    ],
)
def test_layouts_whose_records_are_lost_are_those_of_the_same_blocks_both_ways(tmp_path: Path, edits: list[Edit], sure: bool) -> None:
    assert agrees(saved(layouts(), tmp_path / "a.dxf", *edits)) is sure


def without_record(text: str) -> str:
    """The record of the second paperspace is gone, its block gets one."""
    begin = text.index("  0\nBLOCK_RECORD\n  5\n2F\n")
    return text[:begin] + text[text.index("  0\nENDTAB\n", begin) :]


@pytest.mark.parametrize(
    ("edit", "sure"),
    [(same, True), (linked("1E", "ABCDE"), True), (replaced("*Paper_Space0", "A"), False), (titled("Layout2", "Model"), False)],
)
def test_layouts_find_blocks_that_have_no_records(tmp_path: Path, edit: Edit, sure: bool) -> None:
    assert agrees(saved(layouts(), tmp_path / "a.dxf", without_record, edit)) is sure


@pytest.mark.parametrize(
    ("objects", "sure"),
    [
        ([(0, "DICTIONARY"), (5, "C"), (100, "AcDbDictionary"), (3, "ACAD_LAYOUT"), (350, "7F")], True),
        ([(0, "DICTIONARY"), (5, "C"), (330, "0"), (100, "AcDbDictionary"), (0, "LAYOUT"), (5, "D"), (100, "AcDbPlotSettings")], True),
        ([(0, "DICTIONARY"), (5, "C"), (3, "ACAD_LAYOUT"), (350, "D"), (0, "DICTIONARY"), (5, "D")], False),
        ([(0, "DICTIONARY"), (5, "C"), (3, "ACAD_LAYOUT"), (350, "D"), (0, "ACDBPLACEHOLDER"), (5, "D")], False),
        ([(0, "DICTIONARY"), (5, "C"), (100, "AcDbDictionary"), (0, "VISUALSTYLE"), (5, "D")], False),
        ([(0, "DICTIONARY"), (5, "C"), (100, "AcDbDictionary"), (0, "XRECORD"), (5, "D"), (100, "AcDbXrecord"), (280, 1)], False),
        ([(0, "ACDBPLACEHOLDER"), (5, "C")], False),
    ],
)
@pytest.mark.parametrize("version", ["AC1009", "AC1015"])
def test_objects_without_subclasses_are_empty_both_ways(tmp_path: Path, objects: Tags, sure: bool, version: str) -> None:
    own = outline(*([(100, "AcDbEntity")] if version == "AC1015" else []))
    covered = agrees(written(tmp_path / "a.dxf", [*header(version), *section("ENTITIES", *own), *section("OBJECTS", *objects)]))
    assert covered is sure or version == "AC1015"


def test_a_handle_twice_is_covered_where_nobody_looks_it_up(tmp_path: Path) -> None:
    document = layouts()
    document.dimstyles.new("arrows", {"dimblk": "DOT"}).set_arrows("DOT")
    document.blocks.new("A").add_circle((0, 0), 3)
    line = document.modelspace()[0].dxf.handle
    own = replaced(f"LINE\n  5\n{line}\n", "LINE\n  5\n%s\n")
    text = saved(document, tmp_path / "a.dxf", own).read_text()
    kinds: dict[str, set[bool]] = {}
    for handle, entity in document.entitydb.items():
        (tmp_path / "a.dxf").write_text(text % handle)
        kinds.setdefault(entity.dxftype(), set()).add(agrees(tmp_path / "a.dxf"))
    assert {kind for kind, covered in kinds.items() if covered == {True}} >= {"LAYER", "LTYPE", "APPID", "BLOCK", "ENDBLK", "LINE"}
    assert all(kinds[kind] == {False} for kind in ("BLOCK_RECORD", "DICTIONARY", "LAYOUT"))


@pytest.mark.parametrize(("arrow", "sure"), [("24", False), ("25", True)])
def test_a_handle_twice_is_left_to_the_reference_where_it_is_that_of_an_arrow(tmp_path: Path, arrow: str, sure: bool) -> None:
    document = layouts()
    line, linetype = document.modelspace()[0].dxf.handle, "24"
    assert document.entitydb[linetype].dxftype() == "LTYPE"
    style = replaced("AcDbDimStyleTableRecord\n", f"AcDbDimStyleTableRecord\n342\n{arrow}\n", 1)
    assert agrees(saved(document, tmp_path / "a.dxf", replaced(f"LINE\n  5\n{line}\n", f"LINE\n  5\n{linetype}\n"), style)) is sure


@pytest.mark.parametrize(("data", "sure"), [("0AfF", True), ("", True), (" 0AFF", False), ("0A FF", False), ("0AF", False), ("0G", False)])
def test_binary_data_is_hexadecimal_and_nothing_else(tmp_path: Path, data: str, sure: bool) -> None:
    own = outline((100, "AcDbEntity"), (310, data))
    assert agrees(written(tmp_path / "a.dxf", [*header("AC1015"), *section("ENTITIES", *own)])) is sure


@pytest.mark.parametrize("version", ["AC1009", "AC1015"])
def test_a_leader_has_the_layer_that_stands_where_its_version_has_it(tmp_path: Path, version: str) -> None:
    leader: Tags = [
        (0, "MULTILEADER"),
        (100, "AcDbEntity"),
        (8, "leaders"),
        (100, "AcDbMLeader"),
        (270, 2),
        (300, "CONTEXT_DATA{"),
        (40, 1),
    ]
    leader += [(10, 0), (20, 0), (30, 0), (301, "}"), (340, "AB")]
    own = outline(*([(100, "AcDbEntity")] if version == "AC1015" else []))
    assert agrees(written(tmp_path / "a.dxf", [*header(version), *section("ENTITIES", *own, *leader)]))


@pytest.mark.parametrize("seed", range(3))
def test_made_drawings_of_the_oldest_version_are_the_same_both_ways(tmp_path: Path, seed: int) -> None:
    chance, path, covered = random.Random(seed), tmp_path / "a.dxf", 0
    for _ in range(40):
        path.write_bytes(drawing(chance).replace(b"AC1021", b"AC2.10"))
        covered += b"AC2.10" in path.read_bytes() and agrees(path)
    assert covered > 2
